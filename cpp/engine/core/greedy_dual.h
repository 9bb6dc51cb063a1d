// Which stored state to give up first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace llamad {

// Time to compute so many tokens, in units of the first one's. Attending to what came before costs as much
// as the weights from a position of six times the model's width on (Kaplan et al., "Scaling Laws for Neural
// Language Models", 2020, table 1): 3,500 for models of 135M parameters, 25,000 for those of 7B.
inline double prefill_cost(std::size_t n_tokens) {
    constexpr double kEvenPosition = 8192;
    const auto n = static_cast<double>(n_tokens);
    return n + n * n / (2 * kEvenPosition);
}

// GreedyDual-Size-Frequency: what an entry saves per byte, times its uses, plus a clock that stands at the
// value of what was evicted last, so that values age (Cherkasova, "Improving WWW Proxies Performance with
// Greedy-Dual-Size-Frequency Caching Policy", HP Labs HPL-98-69R1, 1998).
class GreedyDual {
  public:
    // Of an entry that is stored or used now. Requires n_bytes > 0.
    double value(std::size_t n_tokens, std::size_t n_bytes, std::uint64_t n_uses) const {
        return clock_ +
               static_cast<double>(n_uses + 1) * prefill_cost(n_tokens) / static_cast<double>(n_bytes);
    }

    void evicted(double value) { clock_ = std::max(clock_, value); }

  private:
    double clock_ = 0;
};

} // namespace llamad
