// A small engine that lives through random events.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "desk.h"
#include "fake_runner.h"
#include "random_scenario.h"

#include "core/kv_mover.h"

namespace llamad {

struct Asked {
    Tokens prompt;
    std::size_t max_tokens;
};

// What the engine does with scheduler, store and runner, in its simplest form and without threads. After each
// step everything that is held is compared with what must be held.
class Machine {
  public:
    Machine(const Scenario &scenario, unsigned seed)
        : scenario_(scenario), random_(seed), model_(limits_of(scenario)),
          scheduler_(limits_of(scenario),
                     make_store(scenario.n_stored * sizeof(KvCell), scenario.memory == Memory::kFull)) {
        model_.n_cells = scenario.unified ? kContext : model_.n_cells;
    }

    void random_step() {
        const std::size_t choice = below(15);
        if (choice < 3) {
            admit();
        } else if (choice == 3) {
            cancel();
        } else if (choice == 4) {
            evict();
        } else {
            work();
        }
        check();
    }

    // Serves everybody who is left.
    void drain() {
        for (int i = 0; i < 5000 && scheduler_.has_work(); ++i) {
            work();
            check();
        }
        CHECK(!scheduler_.has_work());
        CHECK(asked_.empty());
    }

    const Metrics &metrics() const { return metrics_; }
    std::size_t n_complete() const { return n_complete_; }
    std::size_t n_failed() const { return n_failed_; }
    std::size_t n_padded() const { return n_padded_; }

  private:
    std::size_t below(std::size_t n) { return random_() % n; }

    Tokens letters(std::size_t n) {
        Tokens tokens;
        while (tokens.size() < n) {
            tokens.push_back(static_cast<TokenId>('A' + below(4)));
        }
        return tokens;
    }

    // Some beginning of a stem or of an earlier conversation, and something new.
    void admit() {
        Tokens prompt =
            below(2) == 0 || past_.empty() ? stems_[below(stems_.size())] : past_[below(past_.size())];
        prompt.resize(std::min(prompt.size(), below(3) * 45));
        const Tokens fresh = letters(1 + below(15));
        prompt.insert(prompt.end(), fresh.begin(), fresh.end());
        auto request = std::make_unique<Request>();
        request->id = ++last_id_;
        request->prompt = prompt;
        const std::size_t most = kContext - prompt.size();
        request->max_tokens = static_cast<std::int32_t>(std::min(1 + below(below(3) == 0 ? 80 : 12), most));
        request->priority = static_cast<std::int32_t>(below(8) == 0 ? below(3) : 0);
        request->client = std::string(1, static_cast<char>('a' + below(3)));
        request->cache_salt = below(3) == 0 ? "salt" : "";
        asked_[last_id_] = {prompt, static_cast<std::size_t>(request->max_tokens)};
        scheduler_.admit(std::move(request));
    }

    void cancel() {
        const RequestId id = last_id_ - below(8);
        if (std::unique_ptr<Sequence> waiting = scheduler_.waiting().take(id)) {
            return end(*waiting, FinishReason::kCancelled);
        }
        for (Slot &slot : scheduler_.slots()) {
            if (!slot.idle() && slot.sequence().id() == id) {
                return end(*slot.release(), FinishReason::kCancelled);
            }
        }
    }

    void evict() {
        if (Slot *idle = scheduler_.stalest()) {
            mover_.evict(*idle);
        }
    }

    void work() {
        if (scenario_.failures) {
            model_.can_save = below(10) > 0;
            model_.can_copy = below(10) > 0;
            model_.can_restore = below(10) > 0;
            const std::size_t outcome = below(40);
            model_.outcomes = {outcome == 0   ? DecodeStatus::kFailed
                               : outcome == 1 ? DecodeStatus::kNoRoom
                                              : DecodeStatus::kOk};
        }
        while (const std::optional<Placement> placement = scheduler_.next_placement()) {
            place(*placement);
        }
        run(scheduler_.plan_decode());
        run(scheduler_.plan_prefill(/*budget_while_decoding=*/1 + below(24)));
    }

    void place(const Placement &placement) {
        const auto &waiting = scheduler_.waiting().all();
        const Sequence &sequence =
            **std::ranges::find(waiting, placement.request, [](const auto &one) { return one->id(); });
        const std::size_t n_best = best_held(sequence);
        CHECK(placement.n_cached <= n_best && n_best < placement.n_cached + kWorthKeeping);
        const Tokens tokens = sequence.tokens();
        const std::size_t n = mover_.fill(placement);
        CHECK(n == placement.n_cached || (n == 0 && (scenario_.failures || scenario_.unified)));
        CHECK(std::ranges::equal(runner_.tokens(placement.slot), std::span(tokens).first(n)));
        scheduler_.place(placement, n);
    }

    // The longest beginning of the sequence that any slot or the store holds.
    std::size_t best_held(const Sequence &sequence) const {
        const Tokens &tokens = sequence.tokens();
        const auto stored = scheduler_.prefixes().store().match(tokens, sequence.salt(), tokens.size() - 1);
        std::size_t best = stored ? stored->n_shared : 0;
        for (const Slot &slot : scheduler_.slots()) {
            const Tokens held = runner_.tokens(slot.id());
            const auto n_common =
                static_cast<std::size_t>(std::ranges::mismatch(held, tokens).in1 - held.begin());
            const std::size_t n = std::min(n_common, tokens.size() - 1);
            if (slot.salt() == sequence.salt() && (n == held.size() || can_cut(slot, n))) {
                best = std::max(best, n);
            }
        }
        return best;
    }

    bool can_cut(const Slot &slot, std::size_t n) const {
        const bool by_state = !slot.idle() && !scenario_.unified; // else in place, or by sharing cells
        const auto kept = runner_.cells(slot.id()).first(n);
        const bool window_is_whole = std::ranges::none_of(kept.last(std::min(n, kWindow)), &KvCell::missing);
        return scenario_.memory == Memory::kFull ||
               (scenario_.memory == Memory::kSlidingWindow && window_is_whole && !by_state);
    }

    void run(std::span<const Row> rows) {
        if (rows.empty()) {
            return;
        }
        const DecodeStatus status = runner_.decode(rows);
        if (status != DecodeStatus::kOk) {
            mover_.drop_padding(rows);
            const Batch due = scheduler_.still_due(rows);
            return status == DecodeStatus::kNoRoom ? make_room(due) : roll_back(due);
        }
        for (std::size_t i = 0; i < rows.size(); ++i) {
            Slot &slot = scheduler_.slot(rows[i].slot);
            if (slot.idle()) {
                CHECK(!rows[i].wants_logits);
                mover_.add_padding(slot);
                ++n_padded_;
                continue;
            }
            slot.advance(1);
            if (!rows[i].wants_logits) {
                continue;
            }
            SampleTask task;
            task.row = i;
            task.sampler = &slot.sequence().sampler();
            runner_.sample(std::span(&task, 1));
            if (const auto reason = slot.sequence().append(task.token, std::nullopt, runner_)) {
                end(*slot.release(), *reason);
            }
        }
    }

    void make_room(std::span<const Row> rows) {
        Slot *youngest = scenario_.unified ? scheduler_.youngest() : nullptr;
        if (Slot *idle = scheduler_.stalest()) {
            mover_.evict(*idle);
        } else if (youngest != nullptr) {
            scheduler_.preempt(*youngest);
            mover_.evict(*youngest);
            Metrics::add(metrics_.preemptions, 1);
        } else {
            CHECK(scenario_.failures); // else one alone has room
            fail(*scheduler_.largest());
        }
        run(scheduler_.still_due(rows));
    }

    void roll_back(std::span<const Row> rows) {
        for (const Row &row : rows) {
            Slot &slot = scheduler_.slot(row.slot);
            const bool first = !slot.idle() && row.pos == static_cast<Pos>(slot.cached().size());
            if (first && !runner_.trim(slot.id(), row.pos)) {
                fail(slot);
            }
        }
    }

    void fail(Slot &slot) {
        mover_.clear(slot);
        end(*slot.release(), FinishReason::kError);
    }

    void end(Sequence &sequence, FinishReason reason) {
        const Asked asked = asked_.at(sequence.id());
        asked_.erase(sequence.id());
        const Tokens said = sequence.finish(reason, ErrorKind::kNone, {}).tokens;
        const Tokens whole = generated(babble, asked.prompt, asked.max_tokens);
        CHECK(said.size() <= whole.size() && std::equal(said.begin(), said.end(), whole.begin()));
        CHECK(reason != FinishReason::kLength || said.size() == whole.size());
        n_complete_ += reason == FinishReason::kLength ? 1 : 0;
        n_failed_ += reason == FinishReason::kError ? 1 : 0;
        past_.push_back(sequence.tokens());
        past_.erase(past_.begin(), past_.size() > 12 ? past_.begin() + 1 : past_.begin());
    }

    void check() {
        scheduler_.check_integrity();
        std::size_t n_running = 0;
        for (const Slot &slot : scheduler_.slots()) {
            n_running += slot.idle() ? 0 : 1;
            const KvCell *cell = runner_.cells(slot.id()).data();
            REQUIRE(runner_.cells(slot.id()).size() == slot.cached().size() + slot.n_padding());
            CHECK(slot.idle() || slot.n_padding() == 0);
            bool as_recorded = true;
            for (const TokenId token : slot.cached()) {
                as_recorded =
                    as_recorded && cell->token == token && salt_of(*cell, slot.salt()) == slot.salt();
                ++cell;
            }
            CHECK(as_recorded);
        }
        CHECK_EQ(n_running + scheduler_.waiting().size(), asked_.size());
    }

    // The salt of whoever computed it: the first to hold it.
    const std::string &salt_of(const KvCell &cell, const std::string &holder) {
        while (salts_.size() <= cell.origin) {
            salts_.push_back(nullptr);
        }
        if (salts_[cell.origin] == nullptr) {
            salts_[cell.origin] = &*known_salts_.insert(holder).first;
        }
        return *salts_[cell.origin];
    }

    Scenario scenario_;
    std::mt19937 random_;
    FakeModel model_;
    FakeRunner runner_{model_};
    Scheduler scheduler_;
    Metrics metrics_;
    KvMover mover_{runner_, scheduler_, metrics_};
    const std::vector<Tokens> stems_{letters(40), letters(60), letters(75)};
    std::vector<Tokens> past_; // conversations that have ended
    std::map<RequestId, Asked> asked_;
    std::set<std::string> known_salts_;
    std::vector<const std::string *> salts_; // by origin
    RequestId last_id_ = 0;
    std::size_t n_complete_ = 0;
    std::size_t n_failed_ = 0;
    std::size_t n_padded_ = 0;
};

} // namespace llamad
