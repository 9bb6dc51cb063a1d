#include "core/prefill_budget.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace llamad {

namespace {

// Weight of a new observation: a few steps are enough to follow a change, one odd step is not.
constexpr double kWeight = 0.25;

// A size that was slow once is tried again some day: with every chunk of another size it is thought a little
// faster, but per token never more than twice as fast as that other. So what is tried is hardly larger than
// what fits: 500 chunks of 8 tokens say nothing of one of 512, which would hold up everybody for a second.
constexpr double kHope = 0.995;
constexpr double kMostHope = 0.5;

constexpr double kMostStretch = 2;

void learn(double &average, double observed) {
    average = average > 0 ? average + kWeight * (observed - average) : observed;
}

} // namespace

PrefillBudget::PrefillBudget(double itl_target_s, std::int32_t most) : itl_target_s_(itl_target_s) {
    const auto limit = static_cast<std::size_t>(most);
    for (std::size_t n = kLeast; n < limit; n *= 2) {
        sizes_.push_back({.n_tokens = n});
    }
    sizes_.push_back({.n_tokens = limit});
}

void PrefillBudget::observe_launch(std::size_t n_tokens, double seconds) {
    n_launched_ += n_tokens;
    launched_s_ += seconds;
}

void PrefillBudget::observe_prefill(std::size_t n_tokens, double seconds) {
    n_tokens += std::exchange(n_launched_, 0);
    seconds += std::exchange(launched_s_, 0);
    if (n_tokens < sizes_.front().n_tokens) {
        return;
    }
    const auto above = std::upper_bound(sizes_.begin(), sizes_.end(), n_tokens,
                                        [](std::size_t n, const Size &size) { return n < size.n_tokens; });
    const auto seen = std::prev(above);
    learn(seen->s_per_token, seconds / static_cast<double>(n_tokens));
    for (auto size = sizes_.begin(); size != sizes_.end(); ++size) {
        if (size != seen) {
            const double hoped = std::max(size->s_per_token * kHope, seen->s_per_token * kMostHope);
            size->s_per_token = std::min(size->s_per_token, hoped);
        }
    }
}

void PrefillBudget::observe_decode(std::size_t n_rows, double seconds) {
    if (n_rows > 0 && n_launched_ > 0) {
        observe_prefill(0, std::max(seconds - decode_step_s_, 0.0));
    } else if (n_rows > 0) {
        learn(decode_step_s_, seconds);
    }
}

// A size that has not been seen is thought as fast as the next larger one that has, else as the next smaller
// one.
double PrefillBudget::expected_s(std::size_t index) const {
    const auto known = [](const Size &size) { return size.s_per_token > 0; };
    const auto here = sizes_.begin() + static_cast<std::ptrdiff_t>(index);
    auto like = std::find_if(here, sizes_.end(), known);
    if (like == sizes_.end()) {
        like = std::find_if(std::make_reverse_iterator(here), sizes_.rend(), known).base() - 1;
    }
    return like->s_per_token * static_cast<double>(here->n_tokens);
}

std::size_t PrefillBudget::tokens(std::size_t n_decoding, std::size_t n_prefilling, bool sees) const {
    const bool knows_some =
        std::any_of(sizes_.begin(), sizes_.end(), [](const Size &size) { return size.s_per_token > 0; });
    if (!knows_some) {
        return sizes_.front().n_tokens;
    }
    const double crowd =
        static_cast<double>(n_prefilling) / static_cast<double>(std::max<std::size_t>(n_decoding, 1));
    const double stretch = sees ? std::clamp(crowd, 1.0, kMostStretch) : kUnseen;
    const double affordable_s = itl_target_s_ * stretch - decode_step_s_;
    std::size_t index = sizes_.size() - 1;
    while (index > 0 && expected_s(index) > affordable_s) {
        --index;
    }
    return sizes_[index].n_tokens;
}

} // namespace llamad
