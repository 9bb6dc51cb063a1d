#include "attention/block.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "attention/lanes.h"

#ifdef LLAMAD_LANES
namespace llamad::attention {
namespace {

// So many queries leave the registers room for their sums over four cells.
constexpr int kTogether = kLanes == 16 ? 6 : 2;
constexpr float kUnseen = -std::numeric_limits<float>::infinity();
constexpr std::uint16_t kUnseenMask = 0xFC00; // minus infinity

using Scores = float[kTogether][kBlock];

// Asks for the same row of the next block. The rows of a head lie apart, with other heads' between them,
// which the processor's own prefetching does not follow: with 32 streams of 576 cells this takes more than
// half of the time.
inline void fetch_next(const std::uint16_t *row, std::size_t stride, std::ptrdiff_t size) {
    constexpr int kCacheLine = 64 / sizeof(*row);
    for (std::ptrdiff_t at = 0; at < size; at += kCacheLine) {
        __builtin_prefetch(row + kBlock * stride + at, 0, 2);
    }
}

template <int N> void score(const Cells &cells, int first, int last, const float *vectors, Scores &scores) {
    for (int cell = first; cell < last; cell += 4) {
        const std::uint16_t *keys[4];
        for (int i = 0; i < 4; ++i) { // past the end the last cell again; its scores are overwritten
            keys[i] = cells.keys + static_cast<std::size_t>(std::min(cell + i, last - 1)) * cells.key_stride;
            fetch_next(keys[i], cells.key_stride, cells.key_size);
        }
        Lanes products[N][4];
        for (auto &of_query : products) {
            std::fill(std::begin(of_query), std::end(of_query), splat(0.0F));
        }
        for (int at = 0; at < cells.key_size; at += kLanes) {
            Lanes key[4];
            for (int i = 0; i < 4; ++i) {
                key[i] = load_f16(keys[i] + at);
            }
            for (int query = 0; query < N; ++query) {
                const Lanes vector = load(vectors + query * cells.key_size + at);
                for (int i = 0; i < 4; ++i) {
                    products[query][i] = multiply_add(key[i], vector, products[query][i]);
                }
            }
        }
        for (int query = 0; query < N; ++query) {
            const auto &p = products[query];
            _mm_storeu_ps(&scores[query][cell - first], sums(p[0], p[1], p[2], p[3]));
        }
    }
}

// Adds the mask to the scores, and returns the largest.
float add_mask(const Query &query, int first, int last, float *scores) {
    std::uint16_t copy[kBlock];
    const std::uint16_t *mask = query.mask == nullptr ? nullptr : query.mask + first;
    if (last - first < kBlock) { // the mask may end here
        std::fill(scores + (last - first), scores + kBlock, kUnseen);
        if (mask != nullptr) {
            std::fill(std::copy(mask, query.mask + last, copy), std::end(copy), kUnseenMask);
            mask = copy;
        }
    }
    Lanes most = splat(kUnseen);
    for (int at = 0; at < kBlock; at += kLanes) {
        Lanes score = load(scores + at);
        if (mask != nullptr) {
            score = multiply_add(load_f16(mask + at), splat(query.slope), score);
            store(scores + at, score);
        }
        most = larger(score, most); // in this order the scores of stale cells, which may be NaN, do not count
    }
    return largest(most);
}

// Makes exp(score - largest) of the scores; what was summed before is scaled where the largest is new.
// Returns false where the query sees none of these cells.
bool weigh(const Cells &cells, int first, int last, Query &query, float *scores, float *output) {
    const float in_block = add_mask(query, first, last, scores);
    if (in_block == kUnseen) {
        std::fill_n(scores, kBlock, 0.0F);
        return false;
    }
    if (in_block > query.largest) {
        const float faded = std::exp(query.largest - in_block);
        for (int at = 0; at < cells.value_size; at += kLanes) {
            store(output + at, multiply(load(output + at), splat(faded)));
        }
        query.sum *= faded;
        query.largest = in_block;
    }
    Lanes total = splat(0.0F);
    for (int at = 0; at < kBlock; at += kLanes) {
        const Lanes weight = exponential(subtract(load(scores + at), splat(query.largest)));
        store(scores + at, weight);
        total = add(total, weight);
    }
    query.sum += sum(total);
    return true;
}

// Behind these cells nobody sees any. What stands there may be stale, and infinite or NaN: no weight of 0
// takes that out of a sum.
template <int N> int last_seen(int first, int last, const Scores &weights) {
    const auto sees = [&](int cell) {
        return std::any_of(weights, weights + N,
                           [&](const float (&of_query)[kBlock]) { return of_query[cell - first] > 0.0F; });
    };
    while (last > first && !sees(last - 1)) {
        --last;
    }
    return last;
}

constexpr std::ptrdiff_t lane(int vector) { return static_cast<std::ptrdiff_t>(vector) * kLanes; }

// Adds the weighted values to columns [at, at + Vectors * kLanes) of the outputs.
template <int N, int Vectors>
void gather(const Cells &cells, int first, int last, std::ptrdiff_t at, const Scores &weights,
            float *outputs) {
    float *columns = outputs + at;
    Lanes gathered[N][Vectors];
    for (int query = 0; query < N; ++query) {
        for (int i = 0; i < Vectors; ++i) {
            gathered[query][i] = load(columns + query * cells.value_size + lane(i));
        }
    }
    for (int cell = first; cell < last; ++cell) {
        const std::uint16_t *values = cells.values + static_cast<std::size_t>(cell) * cells.value_stride + at;
        fetch_next(values, cells.value_stride, lane(Vectors));
        Lanes value[Vectors];
        for (int i = 0; i < Vectors; ++i) {
            value[i] = load_f16(values + lane(i));
        }
        for (int query = 0; query < N; ++query) {
            const Lanes weight = splat(weights[query][cell - first]);
            for (int i = 0; i < Vectors; ++i) {
                gathered[query][i] = multiply_add(value[i], weight, gathered[query][i]);
            }
        }
    }
    for (int query = 0; query < N; ++query) {
        for (int i = 0; i < Vectors; ++i) {
            store(columns + query * cells.value_size + lane(i), gathered[query][i]);
        }
    }
}

template <int N>
void see_together(const Cells &cells, int first, int last, Query *queries, const float *vectors,
                  float *outputs) {
    alignas(64) Scores scores;
    score<N>(cells, first, last, vectors, scores);
    bool any = false;
    for (int query = 0; query < N; ++query) {
        any |= weigh(cells, first, last, queries[query], scores[query], outputs + query * cells.value_size);
    }
    if (!any) {
        return;
    }
    last = last_seen<N>(first, last, scores);
    std::ptrdiff_t at = 0;
    for (; at + lane(4) <= cells.value_size; at += lane(4)) {
        gather<N, 4>(cells, first, last, at, scores, outputs);
    }
    for (; at < cells.value_size; at += kLanes) {
        gather<N, 1>(cells, first, last, at, scores, outputs);
    }
}

// see_together<n>, for an n of 1 to N.
template <int N>
void see_up_to(int n, const Cells &cells, int first, int last, Query *queries, const float *vectors,
               float *outputs) {
    if (n == N) {
        see_together<N>(cells, first, last, queries, vectors, outputs);
    } else if constexpr (N > 1) {
        see_up_to<N - 1>(n, cells, first, last, queries, vectors, outputs);
    }
}

} // namespace

void see(const Cells &cells, int first, int last, Query *queries, const float *vectors, float *outputs,
         int n) {
    int calls = (n + kTogether - 1) / kTogether;
    for (int done = 0; done < n; --calls) {
        const int now = (n - done + calls - 1) / calls; // seven queries are four and three, not six and one
        see_up_to<kTogether>(now, cells, first, last, queries + done, vectors + done * cells.key_size,
                             outputs + done * cells.value_size);
        done += now;
    }
}

} // namespace llamad::attention
#endif
