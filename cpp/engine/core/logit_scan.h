// The passes over a whole row of logits, written so that the compiler vectorizes them without -ffast-math.
// NaN counts as -inf everywhere: a token that cannot be taken.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>

namespace llamad {

inline constexpr float kImpossible = -std::numeric_limits<float>::infinity();

// A row is scanned in lines of so many logits, and logits in the same place of their lines are compared with
// each other: whole vectors at a time, without ever folding one. Enough lanes to hide a comparison's latency.
inline constexpr std::size_t kLanes = 64;

// The largest of each lane, over logits that begin with lane 0; -inf where there is none.
std::array<float, kLanes> lane_maxima(std::span<const float> logits);

// The largest of all; -inf if there is none.
float max_logit(std::span<const float> logits);

// Sum of exp(logit - max), `max` being max_logit(logits) and finite. Good to six digits.
double sum_exp(std::span<const float> logits, float max);

} // namespace llamad
