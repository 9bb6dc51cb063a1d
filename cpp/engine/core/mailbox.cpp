#include "core/mailbox.h"

#include <string>
#include <utility>

#include "core/errors.h"

namespace llamad {

RequestId Mailbox::submit(std::unique_ptr<Request> &request) {
    RequestId id = 0;
    {
        const std::lock_guard lock(mutex_);
        if (mail_.closed) {
            throw EngineClosedError("the engine is closed");
        }
        if (in_flight_ >= capacity_) {
            throw QueueFullError("the queue is full: " + std::to_string(in_flight_) +
                                 " requests are running or waiting; try again later");
        }
        ++in_flight_;
        id = ++last_id_;
        request->id = id;
        request->submitted_at = Clock::now();
        mail_.requests.push_back(std::move(request));
    }
    arrived_.notify_one();
    return id;
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

Mail Mailbox::take(bool wait) {
    std::unique_lock lock(mutex_);
    if (wait) {
        arrived_.wait(
            lock, [this] { return mail_.closed || !mail_.requests.empty() || !mail_.cancellations.empty(); });
    }
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
