// The runner of the model without weights.
//
// A token is a byte, and the token that comes next is a function of every token in the KV stream: a
// stream that holds a wrong token, or a right one in the wrong place, shows in what is generated. Each
// call also checks what the engine owes a runner: batches within n_batch, slots rising, positions that
// continue the stream, empty slots to copy and restore to, and a rollback after every failure.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_model.h"

namespace llamad {

class FakeRunner : public ModelRunner {
  public:
    explicit FakeRunner(FakeModel &model)
        : model_(model), streams_(static_cast<std::size_t>(model.limits.n_slots)),
          torn_(streams_.size(), false) {
        std::iota(bytes_.begin(), bytes_.end(), '\0');
    }
    FakeRunner(const FakeRunner &) = delete;
    FakeRunner &operator=(const FakeRunner &) = delete;
    ~FakeRunner() override { model_.runner_freed = true; }

    RunnerLimits limits() const override { return model_.limits; }

    DecodeStatus decode(std::span<const Row> rows) override {
        check_batch(rows);
        DecodeStatus status = DecodeStatus::kAborted;
        if (model_.gate.enter(aborted_)) {
            status = compute(rows);
        } else {
            write(rows, /*cut_short=*/true);
        }
        const std::lock_guard lock(model_.mutex_);
        model_.decodes_.push_back({.rows = {rows.begin(), rows.end()}, .status = status});
        return status;
    }

    void sample(std::span<SampleTask> tasks) override {
        if (model_.limits.decodes_async) {
            model_.device.enter(aborted_);
        }
        for (SampleTask &task : tasks) {
            logits_.fill(model_.logits_are_nan ? std::numeric_limits<float>::quiet_NaN() : 0.0F);
            if (!model_.logits_are_nan) {
                logits_.at(static_cast<std::size_t>(next_at(task.row))) = 2.0F;
                logits_.at('?') = 1.0F; // the second choice
            }
            if (task.sampler == nullptr) {
                task.logprobs = token_logprobs(logits_, task.token, task.n_logprobs);
                continue;
            }
            try {
                Picked picked = task.sampler->pick(logits_);
                task.token = picked.token;
                task.logprobs = std::move(picked.logprobs);
            } catch (const std::exception &failure) {
                task.error = failure.what();
            }
        }
    }

    bool trim(SlotId slot, Pos from) override {
        Stream &stream = stream_of(slot);
        const auto n_kept = static_cast<std::size_t>(from);
        CHECK(n_kept <= stream.size());
        if (n_kept < stream.size()) {
            const std::lock_guard lock(model_.mutex_);
            model_.trims_.push_back({slot, from});
        }
        if (!model_.limits.can_trim && n_kept > 0 && n_kept < stream.size()) {
            return false;
        }
        stream.resize(n_kept);
        torn_[static_cast<std::size_t>(slot)] = false;
        return true;
    }

    bool copy(SlotId from, SlotId to) override {
        CHECK(from != to && stream_of(to).empty() && !torn_[static_cast<std::size_t>(from)]);
        if (!model_.can_copy) {
            return false;
        }
        stream_of(to) = stream_of(from);
        if (!model_.limits.unified) {
            pass_through_state(stream_of(to));
        }
        const std::lock_guard lock(model_.mutex_);
        model_.copies_.push_back({from, to});
        return true;
    }

    KvState save(SlotId slot) override {
        CHECK(!torn_[static_cast<std::size_t>(slot)]);
        const Stream &stream = stream_of(slot);
        if (!model_.can_save) {
            return {};
        }
        const std::size_t size = stream.size() * sizeof(KvCell);
        KvState state{.data = std::make_unique<std::byte[]>(size), .size = size};
        std::copy_n(reinterpret_cast<const std::byte *>(stream.data()), size, state.data.get());
        return state;
    }

    bool restore(SlotId slot, std::span<const std::byte> state) override {
        Stream &stream = stream_of(slot);
        CHECK(stream.empty());
        const std::size_t n = state.size() / sizeof(KvCell);
        if (!model_.can_restore || n_used() + n > model_.n_cells) {
            return false;
        }
        stream.resize(n);
        std::memcpy(stream.data(), state.data(), state.size());
        pass_through_state(stream);
        const std::lock_guard lock(model_.mutex_);
        model_.restores_.push_back(slot);
        return true;
    }

    // What the slot really holds.
    std::span<const KvCell> cells(SlotId slot) const { return streams_.at(static_cast<std::size_t>(slot)); }
    Tokens tokens(SlotId slot) const {
        Tokens tokens;
        for (const KvCell &cell : cells(slot)) {
            tokens.push_back(cell.token);
        }
        return tokens;
    }

    // Cells in use.
    std::size_t n_used() const {
        std::vector<bool> counted(last_id_ + 1, false);
        std::size_t n = 0;
        for (const Stream &stream : streams_) {
            for (const KvCell &cell : stream) {
                n += counted[cell.id] ? 0 : 1;
                counted[cell.id] = true;
            }
        }
        return n;
    }

    std::string_view token_bytes(TokenId token) const override {
        return std::string_view(bytes_.data(), bytes_.size())
            .substr(static_cast<std::size_t>(token), token == 0 ? 0 : 1);
    }

    bool is_end_of_generation(TokenId token) const override { return token == kEndToken; }

    void rest() override { ++model_.rests; }

    void request_abort() override {
        aborted_ = true;
        model_.gate.notify();
        model_.device.notify();
    }

  private:
    using Stream = std::vector<KvCell>;

    Stream &stream_of(SlotId slot) { return streams_.at(static_cast<std::size_t>(slot)); }

    void pass_through_state(Stream &stream) {
        for (std::size_t i = 0; i < stream.size(); ++i) {
            stream[i].id = ++last_id_;
            stream[i].missing = !model_.limits.can_trim_states && i + kWindow < stream.size();
        }
    }

    void check_batch(std::span<const Row> rows) {
        CHECK(!rows.empty() && std::cmp_less_equal(rows.size(), model_.limits.n_batch));
        const auto n_outputs = std::ranges::count_if(rows, [](const Row &row) { return row.wants_logits; });
        CHECK(model_.limits.n_outputs == 0 || n_outputs <= model_.limits.n_outputs);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const bool continues = i > 0 && rows[i - 1].slot == rows[i].slot;
            CHECK(i == 0 || rows[i - 1].slot <= rows[i].slot);
            CHECK_EQ(rows[i].pos,
                     continues ? rows[i - 1].pos + 1 : static_cast<Pos>(stream_of(rows[i].slot).size()));
            CHECK(!torn_[static_cast<std::size_t>(rows[i].slot)]);
            CHECK(rows[i].pos < model_.limits.n_ctx);
        }
    }

    DecodeStatus compute(std::span<const Row> rows) {
        DecodeStatus forced = DecodeStatus::kOk;
        if (!model_.outcomes.empty()) {
            forced = model_.outcomes.front();
            model_.outcomes.pop_front();
        }
        if (n_used() + rows.size() > model_.n_cells || forced == DecodeStatus::kNoRoom) {
            return DecodeStatus::kNoRoom;
        }
        const bool fails = forced == DecodeStatus::kFailed || std::ranges::any_of(rows, [](const Row &row) {
                               return row.token == kPoisonToken;
                           });
        write(rows, fails);
        return fails ? DecodeStatus::kFailed : DecodeStatus::kOk;
    }

    // Where it is `cut_short`, half of the rows are written and all slots are to be rolled back.
    void write(std::span<const Row> rows, bool cut_short) {
        next_.assign(rows.size(), -1);
        for (std::size_t i = 0; i < (cut_short ? rows.size() / 2 : rows.size()); ++i) {
            const std::uint32_t id = ++last_id_;
            Stream &stream = stream_of(rows[i].slot);
            const auto window = std::span(stream).last(std::min(kWindow, stream.size()));
            CHECK(std::ranges::none_of(window, &KvCell::missing));
            stream.push_back({.missing = false, .token = rows[i].token, .id = id, .origin = id});
            if (rows[i].wants_logits) {
                next_[i] = model_.next(tokens(rows[i].slot));
            }
        }
        for (const Row &row : rows) {
            torn_[static_cast<std::size_t>(row.slot)] = cut_short;
        }
    }

    TokenId next_at(std::size_t row) const {
        const TokenId next = next_.at(row);
        CHECK(next >= 0); // else the row did not ask for logits
        return next;
    }

    FakeModel &model_;
    std::vector<Stream> streams_;
    std::vector<bool> torn_; // by slot: a failure is to be rolled back
    std::vector<TokenId> next_;
    std::uint32_t last_id_ = 0;
    std::array<float, kVocabulary> logits_{};
    std::array<char, kVocabulary> bytes_{};
    std::atomic<bool> aborted_{false};
};

inline std::unique_ptr<ModelRunner> FakeModel::runner() { return std::make_unique<FakeRunner>(*this); }

} // namespace llamad
