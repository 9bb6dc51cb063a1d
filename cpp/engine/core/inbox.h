// Commands into an engine's thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/types.h"

namespace llamad {

// After so long without work an engine lets its runner rest.
inline constexpr std::chrono::milliseconds kRestAfter{100};

template <typename Item> struct Delivery {
    std::vector<std::unique_ptr<Item>> requests; // in order of submission
    std::vector<RequestId> cancellations;        // may name requests that have ended
    bool closed = false;
};

// Bounded by what the engine has on its hands: requests count from accept() until their terminal event, so
// that the bound does not depend on how soon the engine thread looks in. An Item has an `id` and a
// `submitted_at`. Threading: accept(), cancel(), close() and poke() from any thread, never waiting; take()
// and release() from the engine thread.
template <typename Item> class Inbox {
  public:
    explicit Inbox(std::size_t capacity) : capacity_(capacity) {}

    std::size_t capacity() const { return capacity_; }

    // Accepts all of the requests or none. Assigns consecutive ids, of which the first is returned, and the
    // time of submission. Throws QueueFullError or EngineClosedError; the requests are untouched then.
    RequestId accept(std::span<std::unique_ptr<Item>> requests) {
        RequestId first = 0;
        {
            const std::lock_guard lock(mutex_);
            if (mail_.closed) {
                throw EngineClosedError("the engine is closed");
            }
            const std::size_t in_flight = in_flight_.load(std::memory_order_relaxed);
            if (in_flight + requests.size() > capacity_) {
                n_rejected_.fetch_add(requests.size(), std::memory_order_relaxed);
                throw QueueFullError("the queue is full: " + std::to_string(in_flight) +
                                     " requests are running or waiting, and there is room for " +
                                     std::to_string(capacity_) + "; try again later");
            }
            first = last_id_ + 1;
            const TimePoint now = Clock::now();
            if (in_flight == 0) {
                busy_since_.store(now, std::memory_order_relaxed);
            }
            in_flight_.store(in_flight + requests.size(), std::memory_order_release);
            for (std::unique_ptr<Item> &request : requests) {
                request->id = ++last_id_;
                request->submitted_at = now;
                mail_.requests.push_back(std::move(request));
            }
        }
        arrived_.notify_one();
        return first;
    }

    void cancel(RequestId id) {
        notify([&] { mail_.cancellations.push_back(id); });
    }

    // Nothing is accepted any more. Idempotent.
    void close() {
        notify([&] { mail_.closed = true; });
    }

    // Makes a take() that waits return: there is something to do that is no mail.
    void poke() {
        notify([&] { poked_ = true; });
    }

    // Takes what has arrived. Waits for something to arrive, but no longer than `patience`.
    Delivery<Item> take(std::chrono::milliseconds patience) {
        std::unique_lock lock(mutex_);
        if (patience > std::chrono::milliseconds::zero()) {
            arrived_.wait_for(lock, patience, [this] {
                return poked_ || mail_.closed || !mail_.requests.empty() || !mail_.cancellations.empty();
            });
        }
        poked_ = false;
        Delivery<Item> taken = std::move(mail_);
        mail_ = Delivery<Item>{.requests = {}, .cancellations = {}, .closed = taken.closed};
        return taken;
    }

    // A request has ended: there is room for another.
    void release() {
        const std::lock_guard lock(mutex_);
        in_flight_.fetch_sub(1, std::memory_order_relaxed);
    }

    // These take no lock.
    std::size_t in_flight() const { return in_flight_.load(std::memory_order_acquire); }
    // When the first request came to an engine that had none; nothing while it has none.
    std::optional<TimePoint> busy_since() const {
        return in_flight() == 0 ? std::nullopt : std::optional(busy_since_.load(std::memory_order_relaxed));
    }
    // Requests that found no room.
    std::uint64_t n_rejected() const { return n_rejected_.load(std::memory_order_relaxed); }

  private:
    template <typename Change> void notify(Change change) {
        {
            const std::lock_guard lock(mutex_);
            change();
        }
        arrived_.notify_one();
    }

    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    Delivery<Item> mail_;
    bool poked_ = false;
    // Written under the mutex, read without it.
    std::atomic<std::size_t> in_flight_{0};
    std::atomic<TimePoint> busy_since_{TimePoint{}};
    std::atomic<std::uint64_t> n_rejected_{0};
    RequestId last_id_ = 0;
};

} // namespace llamad
