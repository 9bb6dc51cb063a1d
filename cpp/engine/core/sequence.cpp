#include "core/sequence.h"

#include <algorithm>
#include <utility>

namespace llamad {

Sequence::Sequence(std::unique_ptr<Request> request, std::int32_t n_ctx, std::int32_t n_cached)
    : id_(request->id), tokens_(std::move(request->prompt)),
      n_prompt_(static_cast<std::int32_t>(tokens_.size())), n_cached_(n_cached),
      n_most_tokens_(n_prompt_ + std::min(request->max_tokens, n_ctx - n_prompt_)), stream_(request->stream),
      sampler_(std::move(request->chain), std::move(request->forbidden)),
      stop_matcher_(std::move(request->stop)), submitted_at_(request->submitted_at),
      started_at_(Clock::now()) {}

std::optional<FinishReason> Sequence::append(TokenId token, const ModelRunner &runner) {
    if (!first_token_at_) {
        first_token_at_ = Clock::now();
    }
    tokens_.push_back(token);
    if (runner.is_end_of_generation(token)) {
        return FinishReason::kStop;
    }
    fresh_text_.clear();
    detokenizer_.push(runner.token_bytes(token), fresh_text_);
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
    const auto first = tokens_.begin() + n_prompt_ + static_cast<std::ptrdiff_t>(n_delivered_);
    Event event{
        .id = id_, .text = std::move(undelivered_text_), .tokens = {first, tokens_.end()}, .end = nullptr};
    undelivered_text_.clear();
    n_delivered_ += event.tokens.size();
    return event;
}

Event Sequence::finish(FinishReason reason, ErrorKind error, std::string error_message) {
    const TimePoint now = Clock::now();
    if (!matched_stop_) {
        stop_matcher_.flush(undelivered_text_);
        detokenizer_.flush(undelivered_text_);
    }
    const TimePoint first_token_at = first_token_at_.value_or(now);
    auto end = std::make_unique<End>();
    end->reason = reason;
    end->stop_string = matched_stop_ ? stop_matcher_.stop(*matched_stop_) : std::string();
    end->usage = {.prompt_tokens = n_prompt_, .completion_tokens = n_generated(), .cached_tokens = n_cached_};
    end->timings = {.queue_s = seconds_between(submitted_at_, started_at_),
                    .prefill_s = seconds_between(started_at_, first_token_at),
                    .decode_s = seconds_between(first_token_at, now)};
    end->error = error;
    end->error_message = std::move(error_message);
    const auto first = tokens_.begin() + n_prompt_ + static_cast<std::ptrdiff_t>(n_delivered_);
    return {.id = id_,
            .text = std::move(undelivered_text_),
            .tokens = {first, tokens_.end()},
            .end = std::move(end)};
}

Event finish_unstarted(const Request &request, FinishReason reason, ErrorKind error,
                       std::string error_message) {
    auto end = std::make_unique<End>();
    end->reason = reason;
    end->usage.prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
    end->timings.queue_s = seconds_between(request.submitted_at, Clock::now());
    end->error = error;
    end->error_message = std::move(error_message);
    return {.id = request.id, .text = {}, .tokens = {}, .end = std::move(end)};
}

} // namespace llamad
