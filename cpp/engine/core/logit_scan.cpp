#include "core/logit_scan.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numbers>

namespace llamad {

namespace {

// Exactly what the vector instruction does, NaN in `value` included (it is passed over).
float larger(float value, float best) { return value > best ? value : best; }

// exp(x) for -87 <= x <= 0 with a relative error below 3e-7: 2^n times a polynomial for the fraction.
// std::exp is a call, which no loop can be vectorized around.
float exp_in_range(float x) {
    constexpr float kLn2High = 0.6875F; // few bits, so that n * kLn2High is exact
    constexpr auto kLn2Low = static_cast<float>(std::numbers::ln2 - 0.6875);
    const auto n =
        static_cast<std::int32_t>(x * std::numbers::log2e_v<float> - 0.5F); // truncates: nearest, for x <= 0
    const auto whole = static_cast<float>(n);
    const float r = (x - whole * kLn2High) - whole * kLn2Low; // |r| <= ln(2) / 2
    // The Taylor series to the sixth power.
    float p = 1.0F / 720;
    p = p * r + 1.0F / 120;
    p = p * r + 1.0F / 24;
    p = p * r + 1.0F / 6;
    p = p * r + 0.5F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    return p * std::bit_cast<float>((n + 127) << 23);
}

// A line of logits less the maximum, in exp_in_range's range. exp(-87) is 1.6e-38: what is smaller, NaN and
// -inf add nothing to the sum that it could show.
using Line = std::array<float, kLanes>;

Line exponents(std::span<const float> logits, float max) {
    constexpr float kSmallest = -87.0F;
    Line line;
    line.fill(kSmallest);
    for (std::size_t lane = 0; lane < logits.size(); ++lane) {
        line[lane] = larger(logits[lane] - max, kSmallest);
    }
    return line;
}

} // namespace

std::array<float, kLanes> lane_maxima(std::span<const float> logits) {
    std::array<float, kLanes> best{};
    best.fill(kImpossible);
    const std::size_t whole = logits.size() - logits.size() % kLanes;
    for (std::size_t i = 0; i < whole; i += kLanes) {
        const float *line = logits.data() + i;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            best[lane] = larger(line[lane], best[lane]);
        }
    }
    for (std::size_t i = whole; i < logits.size(); ++i) {
        best[i - whole] = larger(logits[i], best[i - whole]);
    }
    return best;
}

float max_logit(std::span<const float> logits) {
    const std::array<float, kLanes> lanes = lane_maxima(logits);
    // Eight at a time: one after the other, each comparison would wait for the last.
    std::array<float, 8> eight{};
    eight.fill(kImpossible);
    for (std::size_t i = 0; i < kLanes; i += eight.size()) {
        for (std::size_t lane = 0; lane < eight.size(); ++lane) {
            eight[lane] = larger(lanes[i + lane], eight[lane]);
        }
    }
    float best = kImpossible;
    for (const float lane : eight) {
        best = larger(lane, best);
    }
    return best;
}

double sum_exp(std::span<const float> logits, float max) {
    // Each lane adds up a stretch of the row in float; over a whole row that would cost digits.
    constexpr std::size_t kStretch = 64 * kLanes;
    double sum = 0;
    for (std::size_t start = 0; start < logits.size(); start += kStretch) {
        const std::size_t end = std::min(start + kStretch, logits.size());
        Line lanes{};
        for (std::size_t i = start; i < end; i += kLanes) {
            const Line line = exponents(logits.subspan(i, std::min(kLanes, end - i)), max);
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                lanes[lane] += exp_in_range(line[lane]);
            }
        }
        for (const float lane : lanes) {
            sum += static_cast<double>(lane);
        }
    }
    return sum;
}

} // namespace llamad
