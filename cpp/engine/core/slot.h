// One KV stream and the sequence that fills it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/batch.h"
#include "core/sequence.h"

namespace llamad {

// Idle → Prefill → Decode → Idle. What the stream holds survives the sequence, so that the next
// request with the same beginning need not compute it. Belongs to the engine thread.
class Slot {
  public:
    explicit Slot(SlotId id) : id_(id) {}

    SlotId id() const { return id_; }
    bool idle() const { return sequence_ == nullptr; }
    // Still computing the prompt: no token has been sampled.
    bool prefilling() const { return !idle() && sequence_->n_generated() == 0; }
    bool decoding() const { return !idle() && sequence_->n_generated() > 0; }

    Sequence &sequence() { return *sequence_; }
    const Sequence &sequence() const { return *sequence_; }
    // Tokens whose keys and values are in the stream, from position 0.
    const std::vector<TokenId> &cached() const { return cached_; }
    // Tokens that the sequence has and the stream has not.
    std::span<const TokenId> pending() const;
    // When the last sequence left; the epoch before the first one did.
    TimePoint idle_since() const { return idle_since_; }

    // Length of the common beginning of `prompt` and the stream.
    std::size_t shared_prefix(std::span<const TokenId> prompt) const;

    // Begins a sequence, of whose tokens the stream keeps the first `n_kept`.
    void start(std::unique_ptr<Sequence> sequence, std::size_t n_kept);

    // Records that the next `n` pending tokens have been computed.
    void advance(std::size_t n);

    // Ends the sequence and returns it; the stream stays as it is.
    std::unique_ptr<Sequence> release();

    // Records that the stream has been emptied.
    void forget() { cached_.clear(); }

    // Appends rows for the next `n` pending tokens; the last token that is pending wants logits.
    void append_rows(std::size_t n, Batch &batch) const;

  private:
    SlotId id_;
    std::vector<TokenId> cached_;
    std::unique_ptr<Sequence> sequence_;
    TimePoint idle_since_;
};

} // namespace llamad
