// The tokens of one generation and what has become of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
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
    // Of the prompt, what did not have to be computed when it first got a slot.
    std::int32_t n_cached() const { return n_cached_; }
    std::int32_t n_generated() const { return static_cast<std::int32_t>(tokens_.size()) - n_prompt_; }

    // Whether it has ever had a slot; and whether any choice of the same submission has.
    bool started() const { return started_at_.has_value(); }
    bool any_started() const { return started() || (any_started_ != nullptr && *any_started_); }
    // It has got a slot, where `n_cached` of its tokens need not be computed.
    void start(std::size_t n_cached);

    // Tokens that have been computed for its client.
    double served() const { return account_->served; }
    void charge(std::size_t n_tokens) { account_->served += static_cast<double>(n_tokens); }

    // When its last token was sampled; before the first, when it was submitted.
    TimePoint last_token_at() const { return last_token_at_; }

    Sampler &sampler() { return sampler_; }

    // How many of its tokens may come from elsewhere than being computed: all but the last one, or, where the
    // prompt's log-probabilities are asked for, those that are known.
    std::size_t n_most_cached() const;
    // Whether the probability of the prompt's token after position `pos` is asked for, and not known yet.
    bool wants_score(std::size_t pos) const;
    // The next position for which that is so; none where all is known, or nothing asked for.
    std::optional<std::size_t> next_score() const;
    std::int32_t n_prompt_logprobs() const { return n_prompt_logprobs_; }
    // Takes it; they come in the order of the positions.
    void add_score(TokenLogprobs logprobs) { prompt_logprobs_.push_back(std::move(logprobs)); }
    // Whether there is nothing to generate.
    bool only_scored() const { return n_most_tokens_ == n_prompt_; }

    // Takes a sampled token. Returns why the generation ends with it, if it does.
    std::optional<FinishReason> append(TokenId token, std::optional<TokenLogprobs> logprobs,
                                       const ModelRunner &runner);

    bool streams() const { return stream_; }

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
    std::int32_t n_prompt_logprobs_;
    std::size_t first_scored_;
    std::vector<TokenLogprobs> prompt_logprobs_;
    Sampler sampler_;
    std::unordered_map<TokenId, std::string> shown_;
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
    TimePoint last_token_at_;
};

} // namespace llamad
