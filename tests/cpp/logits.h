// Rows of logits to test with.
#pragma once

#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace llamad {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline std::vector<float> normal_row(std::mt19937 &random, std::size_t size) {
    std::normal_distribution<float> normal(-1.0F, 3.0F);
    std::vector<float> row(size);
    for (float &logit : row) {
        logit = normal(random);
    }
    return row;
}

// Few values, so that there are ties, and some that no token can be taken for.
inline std::vector<float> awkward_row(std::mt19937 &random, std::size_t size) {
    std::vector<float> row(size);
    for (float &logit : row) {
        const auto kind = random() % 20;
        logit = kind == 0 ? kNan : kind == 1 ? -kInf : static_cast<float>(random() % 7) - 3;
    }
    return row;
}

} // namespace llamad
