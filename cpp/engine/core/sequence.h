// The tokens of one generation and what has become of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/detokenizer.h"
#include "core/event_queue.h"
#include "core/fair_share.h"
#include "core/model_runner.h"
#include "core/request.h"
#include "core/stop_matcher.h"

namespace llamad {

// A request on its way: waiting for a slot, in one, or back in the queue after a preemption. Belongs to the
// engine thread.
class Sequence {
  public:
    // `n_ctx`: room of a slot in tokens.
    Sequence(std::unique_ptr<Request> request, std::int32_t n_ctx, std::shared_ptr<Account> account);

    RequestId id() const { return id_; }
    std::int32_t priority() const { return priority_; }
    const std::string &salt() const { return salt_; }
    const std::optional<double> &timeout_s() const { return timeout_s_; }
    TimePoint submitted_at() const { return submitted_at_; }
    // The prompt and what has been generated.
    const std::vector<TokenId> &tokens() const { return tokens_; }
    std::int32_t n_prompt() const { return n_prompt_; }
    std::int32_t n_generated() const { return static_cast<std::int32_t>(tokens_.size()) - n_prompt_; }

    // Whether it has ever had a slot; and whether any choice of the same submission has.
    bool started() const { return started_at_.has_value(); }
    bool any_started() const { return started() || (any_started_ != nullptr && *any_started_); }
    // It has got a slot, where `n_cached` of its tokens need not be computed.
    void start(std::size_t n_cached);

    // Tokens that have been computed for its client.
    double served() const { return account_->served; }
    void charge(std::size_t n_tokens) { account_->served += static_cast<double>(n_tokens); }

    Sampler &sampler() { return sampler_; }

    // Takes a sampled token. Returns why the generation ends with it, if it does.
    std::optional<FinishReason> append(TokenId token, std::optional<TokenLogprobs> logprobs,
                                       const ModelRunner &runner);

    // What is to be delivered now: nothing while the request is not streamed or text is held back.
    std::optional<Event> take_delta();

    // The terminal event, with everything that has not been delivered. To be called once, last.
    Event finish(FinishReason reason, ErrorKind error, std::string error_message);

  private:
    std::optional<FinishReason> limit_reached() const;
    Event take_undelivered();
    Timings timings() const;

    RequestId id_;
    std::int32_t priority_;
    std::string salt_;
    std::optional<double> timeout_s_;
    std::shared_ptr<Account> account_;
    std::shared_ptr<bool> any_started_;
    std::vector<TokenId> tokens_;
    std::int32_t n_prompt_;
    std::int32_t n_cached_ = 0;
    std::int32_t n_most_tokens_; // of prompt and completion together
    bool stream_;
    Sampler sampler_;
    Detokenizer detokenizer_;
    StopMatcher stop_matcher_;
    std::optional<std::size_t> matched_stop_;
    std::string fresh_text_; // scratch of append()
    std::string undelivered_text_;
    std::vector<TokenLogprobs> undelivered_logprobs_;
    std::size_t n_delivered_ = 0; // generated tokens that are part of an event
    TimePoint submitted_at_;
    std::optional<TimePoint> started_at_;
    std::optional<TimePoint> first_token_at_;
};

} // namespace llamad
