// Events out of the engine: with the mailbox the only places in it with a lock.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/logprobs.h"
#include "core/outbox.h"
#include "core/types.h"

namespace llamad {

// How a request ended. Every accepted request gets exactly one.
struct End {
    FinishReason reason = FinishReason::kStop;
    std::string stop_string; // the stop string that matched, if one did
    Usage usage;
    Timings timings;
    std::vector<TokenLogprobs> prompt_logprobs; // of the prompt's tokens but the first, where asked for
    ErrorKind error = ErrorKind::kNone;
    std::string error_message; // not empty exactly where reason is kError
};

// Something that happened to a request.
struct Event {
    RequestId id = 0;
    std::string text;                    // whole UTF-8 characters
    std::vector<TokenId> tokens;         // sampled since the request's last event
    std::vector<TokenLogprobs> logprobs; // one per token where the request asks for them, else empty
    std::unique_ptr<End> end;            // set on the last event of a request
};

// An outbox for a consumer who wants the events of one request joined into one, in order of first event.
class EventQueue : public Outbox<Event> {
  public:
    std::vector<Event> drain();
};

} // namespace llamad
