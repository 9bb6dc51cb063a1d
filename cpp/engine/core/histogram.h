// How often values of which size were seen.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace llamad {

// Threading: observe() belongs to one thread; anyone may read, and stops nobody.
class Histogram {
  public:
    static constexpr std::size_t kMostBounds = 24;

    // `bounds`: rising upper limits of the buckets, inclusive, and outliving the histogram. One bucket more
    // is for what lies beyond them.
    template <std::size_t n> explicit Histogram(const std::array<double, n> &bounds) : bounds_(bounds) {
        static_assert(n <= kMostBounds);
    }

    // With one writer, a plain load and store will do.
    void observe(double value) {
        const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
        std::atomic<std::uint64_t> &count = counts_[static_cast<std::size_t>(bucket)];
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        sum_.store(sum_.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
    }

    std::span<const double> bounds() const { return bounds_; }

    // Of each bucket alone, not of those below it as well. A value that comes in while this is read may be in
    // the counts and not yet in the sum.
    std::vector<std::uint64_t> counts() const {
        std::vector<std::uint64_t> counts(bounds_.size() + 1);
        for (std::size_t i = 0; i < counts.size(); ++i) {
            counts[i] = counts_[i].load(std::memory_order_relaxed);
        }
        return counts;
    }

    double sum() const { return sum_.load(std::memory_order_relaxed); }

  private:
    std::span<const double> bounds_;
    std::array<std::atomic<std::uint64_t>, kMostBounds + 1> counts_{};
    std::atomic<double> sum_{0};
};

} // namespace llamad
