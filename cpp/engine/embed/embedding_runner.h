// What the embedding engine needs of a model. The llama.cpp implementation is llama/llama_embedding_runner;
// tests use a recording fake.
#pragma once

#include <cstdint>
#include <span>

#include "core/types.h"

namespace llamad {

// What of a sequence becomes its vector.
enum class Pooling : std::uint8_t {
    kNone, // nothing: a vector for each token
    kMean, // the mean of its tokens
    kCls,  // its first token
    kLast, // its last token
    kRank, // scores, by a classifier on top of one of these
};

struct EmbeddingLimits {
    std::int32_t n_ctx = 0;           // tokens of the longest input
    std::int32_t n_batch = 0;         // most tokens of several inputs in one encode(): more are not faster
    std::int32_t n_seqs = 1;          // most inputs in one encode()
    std::int32_t n_out = 0;           // floats for each input
    bool can_chunk = false;           // an input beyond n_batch is computed in parts; else at once, and alone
    Pooling pooling = Pooling::kMean; // never kNone
};

// The tokens of one input, or a part of them.
struct Piece {
    RequestId job;
    std::size_t input; // index into the job's inputs
    std::span<const TokenId> tokens;
    Pos begin;  // position of the first of these tokens in the input
    bool whole; // the input is nothing but this piece
};

enum class EncodeStatus : std::uint8_t {
    kOk,
    kAborted, // request_abort() was called
    kFailed,  // there are no values; any of the pieces may be to blame
};

// Threading: every method belongs to the engine thread, but request_abort().
class EmbeddingRunner {
  public:
    EmbeddingRunner() = default;
    EmbeddingRunner(const EmbeddingRunner &) = delete;
    EmbeddingRunner &operator=(const EmbeddingRunner &) = delete;
    virtual ~EmbeddingRunner() = default;

    virtual EmbeddingLimits limits() const = 0;

    // Computes either whole inputs, at most n_batch tokens unless it is a single one, or a part of a long
    // input, alone and of at most n_batch tokens. A part begins at 0, or where the last part ended; whole
    // inputs may have been computed in between.
    virtual EncodeStatus encode(std::span<const Piece> pieces) = 0;

    // What pooling made of a piece of the last encode(): n_out floats, valid until the next.
    virtual std::span<const float> pooled(std::size_t piece) = 0;

    // Called when there has been nothing to compute for a while: gives back what the next encode() makes
    // anew.
    virtual void rest() {}

    // From any thread: make the encode() that is running, and all later ones, return kAborted soon.
    virtual void request_abort() = 0;
};

} // namespace llamad
