// A scheduler whose decisions the test carries out at once, without a model.
#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "check.h"
#include "engine_rig.h"

#include "core/scheduler.h"

namespace llamad {

inline constexpr RunnerLimits kDeskLimits{.n_slots = 4, .n_ctx = 256, .n_batch = 16, .n_ubatch = 12};

// How a request is treated beside others.
struct Who {
    std::int32_t priority = 0;
    const char *client = "";
    const char *salt = "";
    bool streams = false;
};

inline std::unique_ptr<HostStore> make_store(std::size_t max_bytes, bool can_trim = true) {
    return std::make_unique<HostStore>(HostStore::Limits{.max_bytes = max_bytes, .can_trim = can_trim});
}

// "slot 1: 40 from slot 2"
inline std::string show(const Placement &placement) {
    std::ostringstream text;
    text << "slot " << placement.slot << ": " << placement.n_cached;
    if (placement.source == Placement::Source::kOtherSlot) {
        text << " from slot " << placement.from;
    } else if (placement.source == Placement::Source::kStore) {
        text << " from the store";
    }
    return text.str();
}

struct Desk {
    explicit Desk(const RunnerLimits &limits = kDeskLimits, std::unique_ptr<HostStore> store = make_store(0))
        : scheduler(limits, std::move(store)) {}

    RequestId wait(std::string_view prompt, const Who &who = {}) {
        auto request = make_request(prompt, 50);
        request->id = ++last_id;
        request->priority = who.priority;
        request->client = who.client;
        request->cache_salt = who.salt;
        request->stream = who.streams;
        scheduler.admit(std::move(request));
        return last_id;
    }
    // The request that comes next, or 0.
    RequestId next() {
        const std::optional<Placement> placement = scheduler.next_placement();
        return placement ? placement->request : 0;
    }
    // Places the request that comes next where the scheduler wants it.
    Placement place() {
        const std::optional<Placement> placement = scheduler.next_placement();
        REQUIRE(placement.has_value());
        scheduler.place(*placement, placement->n_cached);
        scheduler.check_integrity();
        return *placement;
    }
    // The same for a new request, which must be the next.
    std::string place(std::string_view prompt, const Who &who = {}) {
        const RequestId id = wait(prompt, who);
        const Placement placement = place();
        CHECK_EQ(placement.request, id);
        return show(placement);
    }
    // Computes what is pending in `slot` and samples `token`.
    void answer(SlotId slot, TokenId token) {
        Slot &one = scheduler.slot(slot);
        one.advance(one.pending().size());
        one.sequence().append(token, std::nullopt, *runner);
    }
    // Leaves a stream that holds `tokens` in an idle slot.
    void leave(SlotId slot, std::string_view tokens) {
        Slot &one = scheduler.slot(slot);
        one.start(std::make_unique<Sequence>(make_request(tokens, 9), 256, std::make_shared<Account>()), 0);
        one.advance(tokens.size());
        one.release();
    }

    Scheduler scheduler;
    FakeModel model;
    std::unique_ptr<ModelRunner> runner = model.runner();
    RequestId last_id = 0;
};

} // namespace llamad
