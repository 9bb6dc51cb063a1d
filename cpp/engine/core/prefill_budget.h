// How many prompt tokens may be computed between two tokens of running requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace llamad {

// Learns how fast this machine computes this model, and sizes the next chunk of a prompt so that a
// running request waits no longer for its next token than the target says: the step that decodes and
// the chunk behind it share that time. On one machine the right chunk is 16 tokens and on another 512.
//
// Chunks are powers of two, and each size has a speed of its own: ggml's attention on a CPU, which computes
// what ours does not, works on tiles of 64 rows, and 64 tokens deep in a prompt take less time than 48
// (SmolLM2 at 768 tokens: 431 ms against 595).
class PrefillBudget {
  public:
    // A chunk has at least this many tokens, lest a prompt never gets done where the target is out of
    // reach; fewer would hardly be faster, since the weights are read anyway.
    static constexpr std::size_t kLeast = 8;

    static constexpr double kUnseen = 4;

    // `itl_target_s`: seconds between two tokens. `most`: limit of a chunk, for what the target allows.
    PrefillBudget(double itl_target_s, std::int32_t most);

    // Records how long computing took. Fewer than kLeast tokens are no observation: they take as long as
    // kLeast, because the weights are read anyway. Neither are zero rows.
    void observe_prefill(std::size_t n_tokens, double seconds);
    void observe_decode(std::size_t n_rows, double seconds);

    // Records that a device has begun to compute prompt tokens, and that nobody has waited for them: the next
    // of the observations above, which has to, holds their time as well.
    void observe_launch(std::size_t n_tokens, double seconds);

    // Size of the next chunk; the least until a prompt has been computed. Where more requests wait for
    // their first token than for their next one, the target is stretched by that ratio, up to twice: holding
    // up one stream for two prompts is the smaller harm, and batches that fill up sooner decode faster. It is
    // stretched to kUnseen times where nobody `sees` tokens come: who gets an answer as a whole has more of
    // fewer, fuller steps.
    std::size_t tokens(std::size_t n_decoding, std::size_t n_prefilling, bool sees) const;

  private:
    struct Size {
        std::size_t n_tokens;
        double s_per_token = 0; // 0: not known yet
    };
    double expected_s(std::size_t index) const;

    double itl_target_s_;
    std::vector<Size> sizes_; // ascending
    double decode_step_s_ = 0;
    std::size_t n_launched_ = 0;
    double launched_s_ = 0;
};

} // namespace llamad
