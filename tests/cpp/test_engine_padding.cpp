// Decode batches that keep their shape while requests come and go.
#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "engine_rig.h"

using namespace llamad;

namespace {

constexpr RunnerLimits kLimits{
    .n_slots = 8, .n_ctx = 128, .n_batch = 64, .n_ubatch = 32, .pads_decodes = true};

std::vector<SlotId> slots_of(const DecodeCall &call) {
    std::vector<SlotId> slots;
    for (const Row &row : call.rows) {
        slots.push_back(row.slot);
    }
    return slots;
}

bool is_decode(const DecodeCall &call) {
    const std::vector<SlotId> slots = slots_of(call);
    return slots.size() > 1 && std::ranges::adjacent_find(slots) == slots.end();
}

std::string prompt_of(std::size_t i) {
    std::string prompt = "AAAAAAAAA";
    std::ranges::fill(prompt, static_cast<char>('A' + i));
    return prompt;
}

} // namespace

TEST("who ends leaves a row behind, and the others' batch stays as it is") {
    FakeModel model(kLimits);
    model.gate.hold();
    EngineRig rig(model);
    std::vector<RequestId> ids;
    for (std::size_t i = 0; i < 8; ++i) { // each ends some steps after the one before
        const std::size_t n_tokens = 10 + 4 * i;
        ids.push_back(rig.submit(prompt_of(i), static_cast<std::int32_t>(n_tokens)));
    }
    CHECK(model.gate.reached());
    model.gate.open();
    for (std::size_t i = 0; i < 8; ++i) {
        rig.check_complete(ids[i], prompt_of(i), 10 + 4 * i);
    }
    std::vector<std::vector<SlotId>> shapes;
    for (const DecodeCall &call : model.decodes()) {
        if (is_decode(call) && (shapes.empty() || shapes.back() != slots_of(call))) {
            shapes.push_back(slots_of(call));
        }
    }
    // All eight until only three are left, for which eight rows are too many: then these, two of them, and
    // the last one alone.
    const std::vector<SlotId> all{0, 1, 2, 3, 4, 5, 6, 7};
    REQUIRE(std::ranges::count(shapes, all) == 1);
    CHECK_EQ(shapes.size() - static_cast<std::size_t>(std::ranges::find(shapes, all) - shapes.begin()), 3);
}

TEST("a slot that was padded still holds its prefix, and only that") {
    FakeModel model(kLimits);
    EngineRig rig(model, {.max_queue = 64}, 100'000);
    const std::string prompt(40, 'P');
    const RequestId first = rig.submit(prompt, 4);
    rig.check_complete(first, prompt, 4);
    model.gate.hold();             // lest one ends before the next is there
    std::vector<RequestId> others; // beside its slot, for longer than padding is left there
    for (std::size_t i = 0; i < 7; ++i) {
        others.push_back(rig.submit(prompt_of(i), 80));
        CHECK(model.gate.reached());
    }
    model.gate.open();
    for (std::size_t i = 0; i < 7; ++i) {
        rig.check_complete(others[i], prompt_of(i), 80);
    }
    const auto padded = std::ranges::count_if(
        model.decodes(), [](const DecodeCall &call) { return is_decode(call) && call.rows.size() == 8; });
    CHECK(padded > static_cast<std::ptrdiff_t>(kMostPadding));
    const std::string longer = prompt + "more";
    const Result &again = rig.run(longer, 6);
    CHECK_EQ(again.tokens, generated(babble, tokens_of(longer), 6));
    CHECK_EQ(again.end->usage.cached_tokens, 40);
}

TEST("a failure beside padding fails nobody else, and the padding is gone") {
    for (const DecodeStatus outcome : {DecodeStatus::kFailed, DecodeStatus::kNoRoom}) {
        FakeModel model(kLimits);
        model.outcomes.assign(20, DecodeStatus::kOk); // all prompts are computed by then
        model.outcomes.push_back(outcome);
        model.gate.hold();
        EngineRig rig(model);
        std::vector<RequestId> ids;
        for (std::size_t i = 0; i < 6; ++i) {
            ids.push_back(rig.submit(prompt_of(i), static_cast<std::int32_t>(50 + i)));
            CHECK(model.gate.reached());
        }
        model.gate.open();
        for (std::size_t i = 0; i < 6; ++i) {
            rig.check_complete(ids[i], prompt_of(i), 50 + i);
        }
        const std::vector<DecodeCall> calls = model.decodes();
        const auto failed = std::ranges::find(calls, outcome, &DecodeCall::status);
        REQUIRE(failed != calls.end());
        CHECK_EQ(failed->rows.size(), 8);
        const auto n_before = static_cast<std::size_t>(failed - calls.begin());
        CHECK(std::ranges::any_of(model.trims(), [](const TrimCall &call) { return call.slot == 6; }));
        CHECK_EQ(calls[n_before + 1].rows.size(),
                 outcome == DecodeStatus::kFailed ? 1 : 3); // nor tried again
    }
}
