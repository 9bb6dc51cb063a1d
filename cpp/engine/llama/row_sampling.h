// Samples all rows of one decode, on several threads where that pays.
#pragma once

#include <cstdint>
#include <span>

#include "core/sampler.h"

namespace llamad {

// Samples tasks[i] from logits[i], [n_vocab] each, and fills in the task's results. Never throws: what goes
// wrong for a row is its task's error. `n_threads`: ggml's for generation, whose OpenMP team is used again.
void sample_rows(std::span<SampleTask> tasks, std::span<const std::span<float>> logits,
                 std::int32_t n_threads);

} // namespace llamad
