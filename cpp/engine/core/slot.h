// One KV stream and the sequence that fills it.
#pragma once

#include <memory>
#include <span>
#include <string>
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
    // The next token of the sequence is to be computed from the last one.
    bool decoding() const { return !idle() && sequence_->n_generated() > 0 && pending().size() == 1; }
    // More than that is missing: the prompt, or after a preemption what had been generated as well.
    bool prefilling() const { return !idle() && !decoding(); }

    Sequence &sequence() { return *sequence_; }
    const Sequence &sequence() const { return *sequence_; }
    // Tokens whose keys and values are in the stream, from position 0.
    const std::vector<TokenId> &cached() const { return cached_; }
    // Who may share them: see Request::cache_salt.
    const std::string &salt() const { return salt_; }
    // Tokens that the sequence has and the stream has not.
    std::span<const TokenId> pending() const;
    // Of these, so many come before the next one whose row wants a score; all where none does.
    std::size_t n_before_scores() const;
    // Of the cached ones, so many can only be kept as a whole: they came from a state that cannot be trimmed.
    std::size_t n_fixed() const { return n_fixed_; }
    // Tokens at the end of an idle stream that stand for nothing: see append_padding().
    std::size_t n_padding() const { return n_padding_; }
    // When the last sequence left; the epoch before the first one did.
    TimePoint idle_since() const { return idle_since_; }

    // Begins a sequence, of whose tokens the stream holds the first `n_cached`, `n_fixed` of them as a whole.
    void start(std::unique_ptr<Sequence> sequence, std::size_t n_cached, std::size_t n_fixed = 0);

    // Records that the next `n` pending tokens have been computed.
    void advance(std::size_t n);

    // Appends a row whose token stands for nothing, for the shape of the batch alone. Idle slots only.
    void append_padding(Batch &batch) const;

    // Records that such a row has been computed, or that the stream holds none any more.
    void add_padding() { ++n_padding_; }
    void drop_padding() { n_padding_ = 0; }

    // Ends the sequence and returns it; the stream stays as it is.
    std::unique_ptr<Sequence> release();

    // Records that the stream has been emptied.
    void clear();

    // Appends rows for the next `n` pending tokens; the last token that is pending wants logits, and so do
    // those of the prompt where their successors' log-probabilities are asked for.
    void append_rows(std::size_t n, Batch &batch) const;

  private:
    SlotId id_;
    std::vector<TokenId> cached_;
    std::size_t n_fixed_ = 0;
    std::size_t n_padding_ = 0;
    std::string salt_;
    std::unique_ptr<Sequence> sequence_;
    TimePoint idle_since_;
};

} // namespace llamad
