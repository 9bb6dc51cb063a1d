// Commands into an engine's thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/types.h"

namespace llamad {

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
            if (in_flight_ + requests.size() > capacity_) {
                throw QueueFullError("the queue is full: " + std::to_string(in_flight_) +
                                     " requests are running or waiting, and there is room for " +
                                     std::to_string(capacity_) + "; try again later");
            }
            in_flight_ += requests.size();
            first = last_id_ + 1;
            const TimePoint now = Clock::now();
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
        --in_flight_;
    }

    std::size_t in_flight() const {
        const std::lock_guard lock(mutex_);
        return in_flight_;
    }

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
    std::size_t in_flight_ = 0;
    RequestId last_id_ = 0;
};

} // namespace llamad
