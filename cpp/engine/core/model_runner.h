// What the engine needs of a model. The llama.cpp implementation is llama/llama_runner; tests use a
// recording fake.
#pragma once

#include <span>
#include <string_view>

#include "core/batch.h"
#include "core/kv_state.h"
#include "core/sampler.h"
#include "core/types.h"

namespace llamad {

enum class DecodeStatus : std::uint8_t {
    kOk,
    kNoRoom,  // no KV cells for these rows; nothing changed
    kAborted, // request_abort() was called
    kFailed,  // the rows may be half written: roll their slots back before going on
};

struct RunnerLimits {
    std::int32_t n_slots = 1;
    std::int32_t n_ctx = 0;    // tokens per slot
    std::int32_t n_batch = 0;  // most rows in one decode()
    std::int32_t n_ubatch = 0; // rows that the model computes at once: fewer are less efficient
    // Most rows of one decode() that want logits: at least one of every slot.
    std::int32_t n_outputs = 0;
    bool unified = false; // the slots share one pool of n_ctx KV cells, else each has its own
    // Whether trim() can drop a tail. Recurrent and hybrid models cannot, nor can a sliding window that has
    // moved on: what a slot or a saved state holds can then only be continued, as a whole.
    bool can_trim = true;
    // Whether that holds for what restore() has brought back, too. llama.cpp leaves out of a state what no
    // later token can see; with a sliding window these are the tokens before the last window.
    bool can_trim_states = true;
    // Whether decode() returns before its rows are computed, as on a GPU; sample() waits for them then.
    bool decodes_async = false;
    // Whether batches of next tokens are padded with rows of idle slots: see Scheduler::plan_decode().
    bool pads_decodes = false;

    // Whether copy() goes by way of a state: only the cells of a unified cache can be shared.
    bool copies_states() const { return !unified; }
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

    // Samples or scores rows of the last decode(): fills in what is out in every task.
    virtual void sample(std::span<SampleTask> tasks) = 0;

    // Drops positions [from, inf) of a slot. False: this memory cannot, and nothing changed.
    // from == 0 always succeeds.
    virtual bool trim(SlotId slot, Pos from) = 0;

    // Makes `to`, which is empty, hold what `from` holds; `from` may be in use. False: `to` is empty still.
    virtual bool copy(SlotId from, SlotId to) = 0;

    // What the slot holds, as bytes for restore(); of size 0 where that cannot be had.
    virtual KvState save(SlotId slot) = 0;

    // Fills a slot, which is empty, from save()'s bytes. False: they do not fit this model, or there is no
    // room; the slot is empty still.
    virtual bool restore(SlotId slot, std::span<const std::byte> state) = 0;

    // The token's bytes; not always whole UTF-8, and empty for control tokens.
    virtual std::string_view token_bytes(TokenId token) const = 0;

    virtual bool is_end_of_generation(TokenId token) const = 0;

    // Called when there has been nothing to compute for a while: gives back what the next decode() makes
    // anew.
    virtual void rest() {}

    // From any thread: make the decode() that is running, and all later ones, return kAborted soon.
    virtual void request_abort() = 0;
};

} // namespace llamad
