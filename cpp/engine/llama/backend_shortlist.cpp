#include "llama/backend_shortlist.h"

#include <algorithm>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"

namespace llamad {

namespace {

// A record has some 2,200 values: below this, copying all is no more than a few times as much.
constexpr std::int32_t kLeastVocabulary = 16384;

// More than find_groups() and keep() make of tensors.
constexpr std::size_t kMostTensors = 64;

} // namespace

bool BackendShortlist::suits(std::int32_t n_vocab) { return n_vocab >= kLeastVocabulary; }

BackendShortlist::BackendShortlist(std::int32_t n_vocab, std::int32_t n_slots, std::int32_t n_outputs)
    : layout_(n_vocab), n_outputs_(n_outputs), interface_(make_interface()),
      slots_(static_cast<std::size_t>(n_slots)), place_of_row_(static_cast<std::size_t>(n_outputs)),
      groups_(static_cast<std::size_t>(n_outputs) * groups_of(layout_)) {
    for (SlotSampler &slot : slots_) {
        slot.owner = this;
        slot.rows.reserve(static_cast<std::size_t>(n_outputs));
        slot.places.reserve(static_cast<std::size_t>(n_outputs));
        llama_sampler_ptr chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
        llama_sampler_chain_add(chain.get(), llama_sampler_init(&interface_, &slot));
        configs_.push_back({.seq_id = static_cast<llama_seq_id>(configs_.size()), .sampler = chain.get()});
        chains_.push_back(std::move(chain));
    }
}

BackendShortlist::~BackendShortlist() = default;

BackendShortlist::SlotSampler &BackendShortlist::slot_of(const llama_sampler *sampler) {
    return *static_cast<SlotSampler *>(sampler->ctx);
}

llama_sampler_i BackendShortlist::make_interface() {
    llama_sampler_i made{};
    made.name = [](const llama_sampler *) { return "shortlist"; };
    made.apply = [](llama_sampler *, llama_token_data_array *) {};
    made.backend_init = [](llama_sampler *sampler, ggml_backend_buffer_type_t type, std::uint32_t) {
        return slot_of(sampler).owner->init(type);
    };
    made.backend_reset = [](llama_sampler *sampler) { // a new graph begins
        slot_of(sampler).rows.clear();
        slot_of(sampler).owner->built_ = false;
    };
    made.backend_apply = [](llama_sampler *sampler, ggml_context *context, ggml_cgraph *graph,
                            llama_sampler_data *data) {
        // A sequence that has no row in this graph gets the first one, for nothing.
        SlotSampler &slot = slot_of(sampler);
        slot.rows.push_back(data->logits->view_offs / ggml_nbytes(data->logits));
        if (!slot.owner->built_) {
            slot.owner->build(context, graph, data->logits);
            slot.owner->built_ = true;
        }
        *data = {}; // nothing for llama.cpp to copy
    };
    made.backend_set_input = [](llama_sampler *sampler) { slot_of(sampler).owner->place(slot_of(sampler)); };
    return made;
}

bool BackendShortlist::init(ggml_backend_buffer_type_t type) {
    if (!tried_) { // the other slots' samplers ask, too
        tried_ = true;
        type_ = type;
        tensors_.reset(
            ggml_init({.mem_size = 2 * ggml_tensor_overhead(), .mem_buffer = nullptr, .no_alloc = true}));
        records_ = ggml_new_tensor_2d(tensors_.get(), GGML_TYPE_F32, layout_.width, n_outputs_);
        logits_ = ggml_new_tensor_2d(tensors_.get(), GGML_TYPE_F32, layout_.n_vocab, n_outputs_);
        // Says where they will be: a buffer of no size, until allocate().
        buffer_.reset(ggml_backend_buft_alloc_buffer(type, 0));
        records_->buffer = buffer_.get();
        logits_->buffer = buffer_.get();
        usable_ = device_supports_it(type);
    }
    return usable_;
}

bool BackendShortlist::device_supports_it(ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    if (device == nullptr) { // the processors
        return true;
    }
    const ggml_context_ptr context(
        ggml_init({.mem_size = kMostTensors * ggml_tensor_overhead() + ggml_graph_overhead(),
                   .mem_buffer = nullptr,
                   .no_alloc = true}));
    ggml_cgraph *graph = ggml_new_graph(context.get());
    build(context.get(), graph, ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, layout_.n_vocab, 2));
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
        if (!ggml_backend_dev_supports_op(device, ggml_graph_node(graph, i))) {
            return false;
        }
    }
    return true;
}

void BackendShortlist::detach(llama_context *context) {
    for (const llama_sampler_seq_config &config : configs_) {
        llama_set_sampler(context, config.seq_id, nullptr);
    }
}

std::uint64_t BackendShortlist::device_bytes() const { return ggml_nbytes(records_) + ggml_nbytes(logits_); }

bool BackendShortlist::allocate() {
    records_->buffer = nullptr;
    logits_->buffer = nullptr;
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(tensors_.get(), type_));
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type_);
    ggml_backend_buffer_type_t host = device == nullptr ? nullptr : ggml_backend_dev_host_buffer_type(device);
    host_buffer_.reset(ggml_backend_buft_alloc_buffer(host == nullptr ? ggml_backend_cpu_buffer_type() : host,
                                                      ggml_nbytes(records_)));
    if (buffer_ == nullptr || host_buffer_ == nullptr) {
        return false;
    }
    read_ = {static_cast<float *>(ggml_backend_buffer_get_base(host_buffer_.get())),
             static_cast<std::size_t>(ggml_nelements(records_))};
    return true;
}

// The logits are one row of those of the graph, to which llama.cpp has added a row for sequences without any;
// or, where it only counts the operations, a vector of whatever size.
void BackendShortlist::build(ggml_context *context, ggml_cgraph *graph, ggml_tensor *logits) {
    ggml_tensor *rows = logits->view_src == nullptr ? logits : logits->view_src;
    if (rows->op == GGML_OP_PAD) {
        rows = rows->src[0];
    }
    places_ = nullptr;
    n_placed_ = 0;
    if (rows->ne[1] == 0) {
        return;
    }
    if (!ggml_is_contiguous(rows)) {
        rows = ggml_cont(context, rows);
    }
    places_ = ggml_new_tensor_1d(context, GGML_TYPE_I32, rows->ne[1]);
    ggml_set_input(places_);
    const ShortlistTensors found = find_groups(context, rows);
    std::size_t column = 0;
    const auto keep_in_record = [&](ggml_tensor *part) {
        if (part != nullptr && rows->ne[0] == layout_.n_vocab) {
            keep(context, graph, part,
                 ggml_view_2d(context, records_, part->ne[0], n_outputs_, records_->nb[1],
                              column * sizeof(float)));
            column += static_cast<std::size_t>(part->ne[0]);
        }
    };
    keep_in_record(found.groups);
    keep_in_record(found.rest);
    keep_in_record(found.block_indices);
    keep_in_record(found.group_indices);
    if (rows->ne[0] == layout_.n_vocab) {
        keep(context, graph, rows, logits_);
    }
}

void BackendShortlist::keep(ggml_context *context, ggml_cgraph *graph, ggml_tensor *rows,
                            ggml_tensor *where) {
    ggml_build_forward_expand(graph, ggml_set_rows(context, where, rows, places_));
}

void BackendShortlist::expect(std::span<const SlotId> slots) {
    n_placed_ = 0;
    for (SlotSampler &slot : slots_) {
        slot.places.clear();
        slot.n_placed = 0;
    }
    for (std::size_t i = 0; i < slots.size(); ++i) {
        slots_[static_cast<std::size_t>(slots[i])].places.push_back(static_cast<std::int32_t>(i));
    }
}

// llama.cpp splits a batch as it likes, but keeps the order of a sequence's tokens.
void BackendShortlist::place(SlotSampler &slot) {
    for (const std::size_t row : slot.rows) {
        place_of_row_.at(row) = slot.places.at(slot.n_placed++);
        ++n_placed_;
    }
    if (places_ != nullptr && n_placed_ == static_cast<std::size_t>(places_->ne[0])) {
        ggml_backend_tensor_set(places_, place_of_row_.data(), 0, ggml_nbytes(places_));
        n_placed_ = 0;
    }
}

void BackendShortlist::read(llama_context *context, std::size_t n) {
    llama_synchronize(context);
    ggml_backend_tensor_get(records_, read_.data(), 0, n * records_->nb[1]);
}

LogitRow BackendShortlist::row(std::size_t output) {
    const auto width = static_cast<std::size_t>(layout_.width);
    const std::size_t n_groups = groups_of(layout_);
    return read_record(layout_, read_.subspan(output * width, width),
                       std::span(groups_).subspan(output * n_groups, n_groups));
}

void BackendShortlist::read_all(std::size_t output, float *logits) const {
    ggml_backend_tensor_get(logits_, logits, output * logits_->nb[1], logits_->nb[1]);
}

} // namespace llamad
