// ggml's operator FLASH_ATTN_EXT on a CPU. It stands where ggml's own function of that name stood, which has
// another name in this build (cmake/attention.cmake) and computes what is not ours.
//
// ggml's takes one query after the other, unless a stream has 64 tokens in the batch; so decoding converts
// keys and values again for each head of a group, and computes an exponential for each cell alone.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ggml-cpu-impl.h"
#include "ggml.h"
#include "ops.h"

#include "attention/block.h"
#include "attention/lanes.h"
#include "attention/operands.h"
#include "attention/plan.h"

extern "C" void ggml_reference_flash_attn_ext(const ggml_compute_params *params, ggml_tensor *dst);

#ifdef LLAMAD_LANES
namespace llamad::attention {
namespace {

constexpr float kUnseen = -std::numeric_limits<float>::infinity();

// Whether none of the queries sees any of these cells.
bool hidden(const Query *queries, int n, int first, int last) {
    constexpr std::uint16_t kUnseenMask = 0xFC00; // minus infinity
    const std::uint16_t *looked_at = nullptr;
    for (int query = 0; query < n; ++query) {
        const std::uint16_t *mask = queries[query].mask;
        if (mask == nullptr) {
            return false;
        }
        if (mask == looked_at) { // the heads of a token share one
            continue;
        }
        looked_at = mask;
        std::uint16_t different = 0;
        for (int cell = first; cell < last; ++cell) {
            different |= mask[cell] ^ kUnseenMask;
        }
        if (different != 0) {
            return false;
        }
    }
    return true;
}

// One thread's share.
class Worker {
  public:
    Worker(const Operands &operands, const Plan &plan, const ggml_compute_params &params)
        : operands_(operands), plan_(plan), params_(params) {
        auto *work = static_cast<float *>(params.wdata);
        parts_ = work + plan.scratch_size() * params.nth;
        scratch_ = work + plan.scratch_size() * params.ith;
    }

    void run() {
        if (params_.ith == 0) {
            ggml_threadpool_chunk_set(params_.threadpool, params_.nth);
        }
        ggml_barrier(params_.threadpool);
        for (int index = params_.ith; index < plan_.n_pieces();
             index = ggml_threadpool_chunk_add(params_.threadpool, 1)) {
            compute(plan_.piece(index));
        }
        if (plan_.n_parts() > 1) {
            ggml_barrier(params_.threadpool);
            const int n = static_cast<int>(plan_.n_results());
            for (int result = params_.ith; result < n; result += params_.nth) {
                join(result);
            }
        }
    }

  private:
    void compute(const Piece &piece) {
        const int n = piece.n_rows * piece.n_kv_heads;
        float *outputs = scratch_ + static_cast<std::size_t>(n) * operands_.key_size;
        Query queries[kMaxRows];
        read_queries(piece, queries);
        std::fill_n(outputs, static_cast<std::size_t>(n) * operands_.value_size, 0.0F);
        for (int first = piece.first_cell; first < piece.last_cell; first += kBlock) {
            const int last = std::min(first + kBlock, piece.last_cell);
            if (hidden(queries, n, first, last)) {
                continue;
            }
            for (int head = 0; head < piece.n_kv_heads; ++head) {
                const int done = head * piece.n_rows;
                see(operands_.cells(piece.stream, piece.first_kv_head + head), first, last, queries + done,
                    scratch_ + done * operands_.key_size, outputs + done * operands_.value_size,
                    piece.n_rows);
            }
        }
        for (int i = 0; i < n; ++i) {
            keep(piece, i, queries[i], outputs + i * operands_.value_size);
        }
    }

    void read_queries(const Piece &piece, Query *queries) {
        for (int i = 0; i < piece.n_rows * piece.n_kv_heads; ++i) {
            const int kv_head = piece.first_kv_head + i / piece.n_rows;
            const int row = piece.first_row + i % piece.n_rows;
            const float *from = operands_.query(piece.stream, kv_head, row);
            for (int at = 0; at < operands_.key_size; at += kLanes) {
                store(scratch_ + i * operands_.key_size + at,
                      multiply(load(from + at), splat(operands_.scale)));
            }
            queries[i] = {operands_.mask(piece.stream, kv_head, row), operands_.slope(kv_head, row), kUnseen,
                          0.0F};
        }
    }

    // The result of row i of a piece, or what a part has seen for it.
    void keep(const Piece &piece, int i, const Query &query, const float *output) {
        const int kv_head = piece.first_kv_head + i / piece.n_rows;
        const int row = piece.first_row + i % piece.n_rows;
        if (plan_.n_parts() == 1) {
            finish(piece.stream, kv_head, row, query, output);
            return;
        }
        const int result = (piece.stream * operands_.n_kv_heads + kv_head) * operands_.n_rows() + row;
        float *part = part_of(result, piece.part);
        part[0] = query.largest;
        part[1] = query.sum;
        std::copy_n(output, operands_.value_size, part + 2);
    }

    void join(int result) {
        Query all{nullptr, 1.0F, kUnseen, 0.0F};
        for (int i = 0; i < plan_.n_parts(); ++i) {
            all.largest = std::max(all.largest, part_of(result, i)[0]);
        }
        std::fill_n(scratch_, operands_.value_size, 0.0F);
        for (int i = 0; i < plan_.n_parts(); ++i) {
            const float *part = part_of(result, i);
            if (part[1] == 0.0F) { // has seen nothing
                continue;
            }
            const float faded = std::exp(part[0] - all.largest);
            all.sum += part[1] * faded;
            for (int at = 0; at < operands_.value_size; at += kLanes) {
                store(scratch_ + at, multiply_add(load(part + 2 + at), splat(faded), load(scratch_ + at)));
            }
        }
        const int head = result / operands_.n_rows();
        finish(head / operands_.n_kv_heads, head % operands_.n_kv_heads, result % operands_.n_rows(), all,
               scratch_);
    }

    void finish(int stream, int kv_head, int row, const Query &query, const float *output) const {
        float sum = query.sum;
        float faded = 1.0F;
        if (const float *sink = operands_.sink(kv_head, row)) {
            const float largest = std::max(*sink, query.largest);
            faded = std::exp(query.largest - largest);
            sum = sum * faded + std::exp(*sink - largest);
        }
        const Lanes factor = splat(sum == 0.0F ? 0.0F : faded / sum);
        float *to = operands_.output(stream, kv_head, row);
        for (int at = 0; at < operands_.value_size; at += kLanes) {
            store(to + at, multiply(load(output + at), factor));
        }
    }

    float *part_of(int result, int part) const {
        return parts_ + (static_cast<std::size_t>(result) * plan_.n_parts() + part) * plan_.part_size();
    }

    const Operands &operands_;
    const Plan &plan_;
    const ggml_compute_params &params_;
    float *scratch_;
    float *parts_;
};

bool flash_attn_ext(const ggml_compute_params &params, ggml_tensor *dst) {
    const Operands operands(dst);
    if (params.use_ref || !operands.are_ours()) {
        return false;
    }
    const Plan plan(operands, params.wsize / sizeof(float), params.nth);
    if (!plan.fits()) {
        return false;
    }
    Worker(operands, plan, params).run();
    return true;
}

} // namespace
} // namespace llamad::attention
#endif

extern "C" void ggml_compute_forward_flash_attn_ext(const ggml_compute_params *params, ggml_tensor *dst) {
#ifdef LLAMAD_LANES
    if (llamad::attention::flash_attn_ext(*params, dst)) {
        return;
    }
#endif
    ggml_reference_flash_attn_ext(params, dst);
}
