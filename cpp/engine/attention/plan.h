// How the attention of a batch is shared out to threads.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/block.h"
#include "attention/operands.h"

namespace llamad::attention {

inline constexpr int kMaxRows = 64;        // of a piece of work
inline constexpr int kPiecesPerThread = 4; // so that no thread waits long for the last

// A piece is some rows of one stream, for one KV head or for all, and all cells or a part of them.
struct Piece {
    int stream;
    int first_kv_head;
    int n_kv_heads;
    int first_row; // of each of the heads
    int n_rows;
    int part;
    int first_cell;
    int last_cell; // exclusive
};

// How the work is shared out. The same for every thread, since it depends on nothing else than the operands.
class Plan {
  public:
    // `room` is what all threads together may use, in floats.
    Plan(const Operands &operands, std::size_t room, int n_threads)
        : operands_(operands), rows_(std::min(kMaxRows, operands.n_rows())),
          // Few queries: all heads of a block at once, so that memory is read in the order in which it lies.
          kv_heads_(rows_ * operands.n_kv_heads <= kMaxRows ? operands.n_kv_heads : 1),
          chunks_(ceil(operands.n_rows(), rows_)), blocks_(ceil(operands.n_cells, kBlock)) {
        const std::size_t of_threads = scratch_size() * n_threads;
        fits_ = of_threads <= room;
        const int pieces = n_pieces();
        if (!fits_ || n_threads == 1 || pieces >= kPiecesPerThread * n_threads) {
            return;
        }
        // Few pieces: the cells are shared out too, and what the parts have seen is joined in the end.
        const std::size_t of_part = n_results() * part_size();
        parts_ = std::min(ceil(kPiecesPerThread * n_threads, pieces), std::max(1, blocks_ / 2));
        parts_ = std::max(1, std::min(parts_, static_cast<int>((room - of_threads) / of_part)));
    }

    bool fits() const { return fits_; }
    int n_parts() const { return parts_; }
    int n_pieces() const {
        return operands_.n_streams * (operands_.n_kv_heads / kv_heads_) * chunks_ * parts_;
    }
    std::size_t n_results() const {
        return static_cast<std::size_t>(operands_.n_streams) * operands_.n_kv_heads * operands_.n_rows();
    }
    // Floats that a thread needs: the queries and outputs of a piece, and a cache line between it and the
    // next.
    std::size_t scratch_size() const {
        return static_cast<std::size_t>(rows_) * kv_heads_ * (operands_.key_size + operands_.value_size) + 16;
    }
    // Floats of what a part has seen: largest, sum, output.
    std::size_t part_size() const { return 2 + operands_.value_size; }

    Piece piece(int index) const {
        const int part = index % parts_;
        const int chunk = index / parts_ % chunks_;
        const int head = index / parts_ / chunks_ * kv_heads_;
        const int cells = ceil(blocks_, parts_) * kBlock;
        return {head / operands_.n_kv_heads,
                head % operands_.n_kv_heads,
                kv_heads_,
                chunk * rows_,
                std::min(rows_, operands_.n_rows() - chunk * rows_),
                part,
                std::min(part * cells, operands_.n_cells),
                std::min((part + 1) * cells, operands_.n_cells)};
    }

  private:
    static int ceil(int a, int b) { return (a + b - 1) / b; }

    const Operands &operands_;
    int rows_, kv_heads_, chunks_, blocks_;
    int parts_ = 1;
    bool fits_ = false;
};

} // namespace llamad::attention
