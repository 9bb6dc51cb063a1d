#include "core/sequence.h"

#include <algorithm>
#include <utility>

namespace llamad {

Sequence::Sequence(std::unique_ptr<Request> request, std::int32_t n_ctx, std::shared_ptr<Account> account)
    : id_(request->id), priority_(request->priority), salt_(std::move(request->cache_salt)),
      timeout_s_(request->timeout_s), account_(std::move(account)),
      any_started_(std::move(request->any_started)), tokens_(std::move(request->prompt)),
      n_prompt_(static_cast<std::int32_t>(tokens_.size())),
      n_most_tokens_(n_prompt_ + std::min(request->max_tokens, n_ctx - n_prompt_)), stream_(request->stream),
      n_prompt_logprobs_(request->n_prompt_logprobs), first_scored_(request->first_scored),
      sampler_(std::move(request->chain), std::move(request->forbidden), request->n_logprobs),
      shown_(std::move(request->shown)), stop_matcher_(std::move(request->stop)),
      submitted_at_(request->submitted_at), last_token_at_(request->submitted_at) {}

std::size_t Sequence::n_most_cached() const {
    const std::size_t n_before_last = tokens_.size() - 1;
    return std::min(n_before_last, next_score().value_or(n_before_last));
}

std::optional<std::size_t> Sequence::next_score() const {
    const std::size_t next = first_scored_ - 1 + prompt_logprobs_.size();
    const bool wanted = n_prompt_logprobs_ >= 0 && next + 1 < static_cast<std::size_t>(n_prompt_);
    return wanted ? std::optional(next) : std::nullopt;
}

bool Sequence::wants_score(std::size_t pos) const {
    const std::optional<std::size_t> next = next_score();
    return next && pos >= *next && pos + 1 < static_cast<std::size_t>(n_prompt_);
}

void Sequence::start(std::size_t n_cached) {
    if (!started_at_) {
        started_at_ = Clock::now();
        n_cached_ = static_cast<std::int32_t>(n_cached);
        if (any_started_ != nullptr) {
            *any_started_ = true;
        }
    }
}

std::optional<FinishReason> Sequence::append(TokenId token, std::optional<TokenLogprobs> logprobs,
                                             const ModelRunner &runner) {
    last_token_at_ = Clock::now();
    if (!first_token_at_) {
        first_token_at_ = last_token_at_;
    }
    tokens_.push_back(token);
    if (logprobs) {
        undelivered_logprobs_.push_back(std::move(*logprobs));
    }
    if (runner.is_end_of_generation(token)) {
        return FinishReason::kStop;
    }
    fresh_text_.clear();
    const auto shown = shown_.find(token);
    detokenizer_.push(shown == shown_.end() ? runner.token_bytes(token) : shown->second, fresh_text_);
    matched_stop_ = stop_matcher_.push(fresh_text_, undelivered_text_);
    if (matched_stop_) {
        return FinishReason::kStop;
    }
    return limit_reached();
}

std::optional<FinishReason> Sequence::limit_reached() const {
    if (static_cast<std::int32_t>(tokens_.size()) >= n_most_tokens_) {
        return FinishReason::kLength;
    }
    return std::nullopt;
}

std::optional<Event> Sequence::take_delta() {
    if (!stream_ || undelivered_text_.empty()) {
        return std::nullopt;
    }
    return take_undelivered();
}

Event Sequence::take_undelivered() {
    const auto first = tokens_.begin() + n_prompt_ + static_cast<std::ptrdiff_t>(n_delivered_);
    Event event{.id = id_,
                .text = std::move(undelivered_text_),
                .tokens = {first, tokens_.end()},
                .logprobs = std::move(undelivered_logprobs_),
                .end = nullptr};
    undelivered_text_.clear();
    undelivered_logprobs_.clear();
    n_delivered_ += event.tokens.size();
    return event;
}

Event Sequence::finish(FinishReason reason, ErrorKind error, std::string error_message) {
    if (!matched_stop_) {
        stop_matcher_.flush(undelivered_text_);
        detokenizer_.flush(undelivered_text_);
    }
    auto end = std::make_unique<End>();
    end->reason = reason;
    end->stop_string = matched_stop_ ? stop_matcher_.stop(*matched_stop_) : std::string();
    end->usage = {.prompt_tokens = n_prompt_, .completion_tokens = n_generated(), .cached_tokens = n_cached_};
    end->timings = timings();
    end->prompt_logprobs = std::move(prompt_logprobs_);
    end->error = error;
    end->error_message = std::move(error_message);
    Event event = take_undelivered();
    event.end = std::move(end);
    return event;
}

Timings Sequence::timings() const {
    const TimePoint now = Clock::now();
    const TimePoint started_at = started_at_.value_or(now);
    const TimePoint first_token_at = first_token_at_.value_or(now);
    return {.queue_s = seconds_between(submitted_at_, started_at),
            .prefill_s = seconds_between(started_at, first_token_at),
            .decode_s = seconds_between(first_token_at, now)};
}

} // namespace llamad
