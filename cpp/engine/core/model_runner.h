// What the engine needs of a model. The llama.cpp implementation is llama/llama_runner; tests use a
// recording fake.
#pragma once

#include <span>
#include <string_view>

#include "core/batch.h"
#include "core/types.h"

namespace llamad {

enum class DecodeStatus : std::uint8_t {
    kOk,
    kNoRoom,  // no KV cells for these rows; nothing changed
    kAborted, // request_abort() was called
    kFailed,  // the rows may be half written: roll their slots back before going on
};

// A stateful sampling chain of one request, made by whoever made the request and understood only by
// the runner it was made for.
class SamplerChain {
  public:
    SamplerChain() = default;
    SamplerChain(const SamplerChain &) = delete;
    SamplerChain &operator=(const SamplerChain &) = delete;
    virtual ~SamplerChain() = default;
};

struct RunnerLimits {
    std::int32_t n_slots = 1;
    std::int32_t n_ctx = 0;    // tokens per slot
    std::int32_t n_batch = 0;  // most rows in one decode()
    std::int32_t n_ubatch = 0; // rows that the model computes at once: fewer are less efficient
};

// Threading: every method belongs to the engine thread, but request_abort().
class ModelRunner {
  public:
    ModelRunner() = default;
    ModelRunner(const ModelRunner &) = delete;
    ModelRunner &operator=(const ModelRunner &) = delete;
    virtual ~ModelRunner() = default;

    virtual RunnerLimits limits() const = 0;

    // Computes the rows and appends them to their slots' KV streams. At most n_batch rows.
    virtual DecodeStatus decode(std::span<const Row> rows) = 0;

    // Logits of the i-th row of the last decode(), [n_vocab]; valid until the next decode().
    // Requires rows[i].wants_logits.
    virtual std::span<const float> logits(std::size_t row) = 0;

    // Samples from the i-th row of the last decode() and advances the chain by the token taken.
    // Throws std::exception where no token can be taken (a grammar that has come to a dead end).
    virtual TokenId sample(SamplerChain &chain, std::size_t row) = 0;

    // Drops positions [from, inf) of a slot. False: this memory cannot, and nothing changed.
    // from == 0 always succeeds.
    virtual bool trim(SlotId slot, Pos from) = 0;

    // The token's bytes; not always whole UTF-8, and empty for control tokens.
    virtual std::string_view token_bytes(TokenId token) const = 0;

    virtual bool is_end_of_generation(TokenId token) const = 0;

    // From any thread: make the decode() that is running, and all later ones, return kAborted soon.
    virtual void request_abort() = 0;
};

} // namespace llamad
