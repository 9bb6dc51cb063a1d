// Lets a test stop the engine thread at a known place, in place of sleeping and hoping.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "check.h"

namespace llamad {

inline constexpr std::chrono::seconds kPatience{60}; // a test that waits longer has failed

// Holds the engine thread at the beginning of decode(), or of whatever else enters it.
class Gate {
  public:
    // From now on decode() waits for pass() or open().
    void hold() {
        change([this] { held_ = true; });
    }
    void open() {
        change([this] { held_ = false; });
    }

    // Waits until the engine thread stands at the gate.
    bool reached() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kPatience, [this] { return waiting_; });
    }

    // Lets one decode() through and waits for the next to come.
    bool pass() {
        change([this] {
            ++permits_;
            waiting_ = false;
        });
        return reached();
    }

    // For the runner: false where the wait was cut short by `aborted`.
    bool enter(const std::atomic<bool> &aborted) {
        std::unique_lock lock(mutex_);
        waiting_ = held_ && permits_ == 0;
        changed_.notify_all();
        CHECK(changed_.wait_for(lock, kPatience, [&] { return !held_ || permits_ > 0 || aborted; }));
        waiting_ = false;
        permits_ -= permits_ > 0 ? 1 : 0;
        return !aborted;
    }

    void notify() {
        change([] {});
    }

  private:
    template <typename Change> void change(Change apply) {
        const std::lock_guard lock(mutex_);
        apply();
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool held_ = false;
    bool waiting_ = false;
    int permits_ = 0;
};

} // namespace llamad
