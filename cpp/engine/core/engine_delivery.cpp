// What leaves the engine: text as it comes, and the end of each request.
#include <utility>

#include "core/engine.h"

namespace llamad {

void Engine::finish(Slot &slot, FinishReason reason, ErrorKind error, std::string message) {
    end_sequence(*slot.release(), reason, error, std::move(message));
}

void Engine::end_sequence(Sequence &sequence, FinishReason reason, ErrorKind error, std::string message) {
    end_request(sequence.finish(reason, error, std::move(message)));
}

void Engine::end_request(Event last) {
    record_end(*last.end);
    outbox_.push_back(std::move(last));
    mailbox_.release();
}

void Engine::abandon_all(const std::string &message) {
    for (Slot &slot : scheduler_.slots()) {
        if (!slot.idle()) {
            finish(slot, FinishReason::kError, ErrorKind::kEngineClosed, message);
        }
    }
    while (!scheduler_.waiting().empty()) {
        const RequestId id = scheduler_.waiting().all().back()->id();
        end_sequence(*scheduler_.waiting().take(id), FinishReason::kError, ErrorKind::kEngineClosed, message);
    }
    deliver();
    if (scheduler_.prefixes().store().persist_all()) { // the next process goes on from there
        for (Slot &slot : scheduler_.slots()) {
            mover_.evict(slot);
        }
    }
    scheduler_.prefixes().close_store();
}

// What there is of a running request and has not left.
void Engine::collect(Sequence &sequence) {
    if (std::optional<Event> delta = sequence.take_delta()) {
        outbox_.push_back(std::move(*delta));
    }
}

// The gauges first: who has seen a request's end must not find it running.
void Engine::deliver() {
    for (Slot &slot : scheduler_.slots()) {
        if (!slot.idle()) {
            collect(slot.sequence());
        }
    }
    publish_gauges();
    events_.publish(outbox_);
}

} // namespace llamad
