#include "core/mailbox.h"

#include <string>
#include <utility>

#include "core/errors.h"

namespace llamad {

RequestId Mailbox::submit(std::span<std::unique_ptr<Request>> requests) {
    RequestId first = 0;
    {
        const std::lock_guard lock(mutex_);
        if (mail_.closed) {
            throw EngineClosedError("the engine is closed");
        }
        if (requests.size() > capacity_) {
            throw ParameterError("n", "n must be at most " + std::to_string(capacity_) +
                                          ", as many as may run and wait, got " +
                                          std::to_string(requests.size()));
        }
        if (in_flight_ + requests.size() > capacity_) {
            throw QueueFullError("the queue is full: " + std::to_string(in_flight_) +
                                 " requests are running or waiting, and there is room for " +
                                 std::to_string(capacity_) + "; try again later");
        }
        in_flight_ += requests.size();
        first = last_id_ + 1;
        const TimePoint now = Clock::now();
        const auto any_started = std::make_shared<bool>(false);
        for (std::unique_ptr<Request> &request : requests) {
            request->id = ++last_id_;
            request->submitted_at = now;
            request->any_started = any_started;
            mail_.requests.push_back(std::move(request));
        }
    }
    arrived_.notify_one();
    return first;
}

void Mailbox::cancel(RequestId id) {
    {
        const std::lock_guard lock(mutex_);
        mail_.cancellations.push_back(id);
    }
    arrived_.notify_one();
}

void Mailbox::close() {
    {
        const std::lock_guard lock(mutex_);
        mail_.closed = true;
    }
    arrived_.notify_one();
}

void Mailbox::poke() {
    {
        const std::lock_guard lock(mutex_);
        poked_ = true;
    }
    arrived_.notify_one();
}

Mail Mailbox::take(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (patience > std::chrono::milliseconds::zero()) {
        arrived_.wait_for(lock, patience, [this] {
            return poked_ || mail_.closed || !mail_.requests.empty() || !mail_.cancellations.empty();
        });
    }
    poked_ = false;
    Mail taken = std::move(mail_);
    mail_ = Mail{.requests = {}, .cancellations = {}, .closed = taken.closed};
    return taken;
}

void Mailbox::release() {
    const std::lock_guard lock(mutex_);
    --in_flight_;
}

std::size_t Mailbox::in_flight() const {
    const std::lock_guard lock(mutex_);
    return in_flight_;
}

} // namespace llamad
