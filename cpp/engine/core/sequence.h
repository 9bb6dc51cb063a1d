// The tokens of one generation and what has become of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/detokenizer.h"
#include "core/event_queue.h"
#include "core/model_runner.h"
#include "core/request.h"
#include "core/sampler.h"
#include "core/stop_matcher.h"

namespace llamad {

// Made from a request when it gets a slot. Belongs to the engine thread.
class Sequence {
  public:
    // `n_ctx`: room of the slot in tokens. `n_cached`: prompt tokens that need not be computed.
    Sequence(std::unique_ptr<Request> request, std::int32_t n_ctx, std::int32_t n_cached);

    RequestId id() const { return id_; }
    // The prompt and what has been generated.
    const std::vector<TokenId> &tokens() const { return tokens_; }
    std::int32_t n_prompt() const { return n_prompt_; }
    std::int32_t n_generated() const { return static_cast<std::int32_t>(tokens_.size()) - n_prompt_; }

    // Samples from a row of the runner's last decode. Throws std::exception where that fails.
    TokenId sample(ModelRunner &runner, std::size_t row) { return sampler_.pick(runner, row); }

    // Takes a sampled token. Returns why the generation ends with it, if it does.
    std::optional<FinishReason> append(TokenId token, const ModelRunner &runner);

    // What is to be delivered now: nothing while the request is not streamed or text is held back.
    std::optional<Event> take_delta();

    // The terminal event, with everything that has not been delivered. To be called once, last.
    Event finish(FinishReason reason, ErrorKind error, std::string error_message);

  private:
    std::optional<FinishReason> limit_reached() const;

    RequestId id_;
    std::vector<TokenId> tokens_;
    std::int32_t n_prompt_;
    std::int32_t n_cached_;
    std::int32_t n_most_tokens_; // of prompt and completion together
    bool stream_;
    Sampler sampler_;
    Detokenizer detokenizer_;
    StopMatcher stop_matcher_;
    std::optional<std::size_t> matched_stop_;
    std::string fresh_text_; // scratch of append()
    std::string undelivered_text_;
    std::size_t n_delivered_ = 0; // generated tokens that are part of an event
    TimePoint submitted_at_;
    TimePoint started_at_;
    std::optional<TimePoint> first_token_at_;
};

// The terminal event of a request that never got a slot.
Event finish_unstarted(const Request &request, FinishReason reason, ErrorKind error,
                       std::string error_message);

} // namespace llamad
