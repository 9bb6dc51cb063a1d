#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "check.h"

#include "core/histogram.h"

using namespace llamad;

namespace {

constexpr std::array kBounds{0.1, 1.0, 10.0};
using Counts = std::vector<std::uint64_t>;

} // namespace

TEST("a value is counted in the first bucket whose limit it does not exceed") {
    Histogram histogram(kBounds);
    CHECK_EQ(histogram.counts(), Counts{0, 0, 0, 0});
    for (const double value : {0.0, 0.1, 0.11, 1.0, 9.9, 10.0, 10.1}) {
        histogram.observe(value);
    }
    CHECK_EQ(histogram.counts(), Counts{2, 2, 2, 1});
    CHECK(histogram.sum() > 31.2 && histogram.sum() < 31.3);
}

TEST("what lies beyond the limits, however far, is counted too") {
    Histogram histogram(kBounds);
    histogram.observe(-1);
    histogram.observe(std::numeric_limits<double>::max());
    CHECK_EQ(histogram.counts(), Counts{1, 0, 0, 1});
}

TEST("readers see counts that only grow, while the writer goes on") {
    constexpr std::uint64_t kN = 20000;
    Histogram histogram(kBounds);
    std::thread writer([&] {
        for (std::uint64_t i = 0; i < kN; ++i) {
            histogram.observe(static_cast<double>(i % 12));
        }
    });
    std::uint64_t seen = 0;
    double sum = 0;
    while (seen < kN) {
        const Counts counts = histogram.counts();
        const auto total = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
        CHECK(total >= seen && histogram.sum() >= sum);
        seen = total;
        sum = histogram.sum();
    }
    writer.join();
    CHECK_EQ(seen, kN);
}
