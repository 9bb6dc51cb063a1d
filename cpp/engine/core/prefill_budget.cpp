#include "core/prefill_budget.h"

#include <algorithm>

namespace llamad {

namespace {

// Weight of a new observation: a few steps are enough to follow a change, one odd step is not.
constexpr double kWeight = 0.25;

void learn(double &average, double observed) {
    average = average > 0 ? average + kWeight * (observed - average) : observed;
}

} // namespace

PrefillBudget::PrefillBudget(double itl_target_s, std::int32_t most)
    : itl_target_s_(itl_target_s), most_(static_cast<std::size_t>(most)) {}

void PrefillBudget::observe_prefill(std::size_t n_tokens, double seconds) {
    if (n_tokens >= std::min(kLeast, most_)) {
        learn(prefill_s_per_token_, seconds / static_cast<double>(n_tokens));
    }
}

void PrefillBudget::observe_decode(std::size_t n_rows, double seconds) {
    if (n_rows > 0) {
        learn(decode_step_s_, seconds);
    }
}

std::size_t PrefillBudget::tokens(std::size_t n_decoding, std::size_t n_prefilling) const {
    const std::size_t least = std::min(kLeast, most_);
    if (prefill_s_per_token_ <= 0) {
        return least;
    }
    const double crowd =
        static_cast<double>(n_prefilling) / static_cast<double>(std::max<std::size_t>(n_decoding, 1));
    const double target_s = itl_target_s_ * std::max(1.0, crowd);
    const double affordable = std::max(0.0, target_s - decode_step_s_) / prefill_s_per_token_;
    return static_cast<std::size_t>(
        std::clamp(affordable, static_cast<double>(least), static_cast<double>(most_)));
}

} // namespace llamad
