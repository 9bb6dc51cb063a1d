// Finds the likeliest tokens of every row on the device that computes the logits, so that these are copied
// from there and not whole vocabularies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ggml-cpp.h"
#include "llama-cpp.h"

#include "core/logit_row.h"
#include "core/types.h"
#include "llama/shortlist_graph.h"

namespace llamad {

// llama.cpp runs the backend samplers of its sequences in the graph that computes the logits. It copies all
// rows of a batch if one of their sequences has none, and to attach or detach one reserves all compute
// buffers anew. So every slot has one here, for good; together they are a single computation over all rows
// (shortlist_graph.h). What that finds stays on the device, and all logits do, until the host reads either:
// of most rows what was found, of those whose request needs all logits these.
//
// What the host draws from what was found is what it would draw from all logits: it can tell whether the k
// likeliest tokens are there (LogitRow::bound), and for k < kGroups they are, but for rare ties.
//
// Threading: one thread at a time.
class BackendShortlist {
  public:
    static constexpr std::size_t kGroups = ShortlistLayout::kTaken; // of each row, at most

    // Whether a vocabulary of this size is large enough for it to pay.
    static bool suits(std::int32_t n_vocab);

    // `n_outputs`: most rows of logits in one decode.
    BackendShortlist(std::int32_t n_vocab, std::int32_t n_slots, std::int32_t n_outputs);
    BackendShortlist(const BackendShortlist &) = delete;
    BackendShortlist &operator=(const BackendShortlist &) = delete;
    ~BackendShortlist();

    // For llama_context_params. The context refers to them as long as it lives.
    std::span<llama_sampler_seq_config> samplers() { return configs_; }

    // Whether the device of the context that got the samplers can do this. If not, call detach().
    bool is_supported() const { return usable_; }
    void detach(llama_context *context);

    // Bytes on the device, and which kind of memory there. Require is_supported().
    std::uint64_t device_bytes() const;
    ggml_backend_buffer_type_t buffer_type() const { return type_; }

    // Requires is_supported(). False where there is no memory for it: call detach() then. Before the first
    // decode.
    bool allocate();

    // Before a decode: which slot each row of it that has logits belongs to.
    void expect(std::span<const SlotId> slots);

    // After the decode, which `context` has done: copies what was found in its first n rows that have logits.
    void read(llama_context *context, std::size_t n);

    // What was found in such a row. May be written to; valid until the next read().
    LogitRow row(std::size_t output);

    // Copies all logits of such a row. `logits`: [n_vocab].
    void read_all(std::size_t output, float *logits) const;

  private:
    struct SlotSampler {
        BackendShortlist *owner = nullptr;
        std::vector<std::size_t> rows;    // the slot's, in the graph that was built last
        std::vector<std::int32_t> places; // the slot's rows with logits, among those of the decode
        std::size_t n_placed = 0;         // of these, how many their graph has been told
    };

    static llama_sampler_i make_interface();
    static SlotSampler &slot_of(const llama_sampler *sampler);
    bool init(ggml_backend_buffer_type_t type);
    bool device_supports_it(ggml_backend_buffer_type_t type);
    void build(ggml_context *context, ggml_cgraph *graph, ggml_tensor *logits);
    void keep(ggml_context *context, ggml_cgraph *graph, ggml_tensor *rows, ggml_tensor *where);
    void place(SlotSampler &slot);

    ShortlistLayout layout_;
    std::int64_t n_outputs_;
    llama_sampler_i interface_;
    std::vector<SlotSampler> slots_;
    std::vector<llama_sampler_ptr> chains_;
    std::vector<llama_sampler_seq_config> configs_;

    bool tried_ = false;
    bool usable_ = false;
    ggml_backend_buffer_type_t type_ = nullptr;
    ggml_context_ptr tensors_;
    ggml_backend_buffer_ptr buffer_; // on the device
    ggml_tensor *records_ = nullptr; // [layout.width, n_outputs]
    ggml_tensor *logits_ = nullptr;  // [n_vocab, n_outputs]

    // Of the graph that was built last: where each of its rows goes in records_ and logits_.
    bool built_ = false;
    ggml_tensor *places_ = nullptr;
    std::vector<std::int32_t> place_of_row_;
    std::size_t n_placed_ = 0;

    ggml_backend_buffer_ptr host_buffer_; // page-locked where the device has such memory
    std::span<float> read_;               // [n_outputs, layout.width]
    std::vector<TokenId> groups_;         // [n_outputs, groups_of(layout)]
};

} // namespace llamad
