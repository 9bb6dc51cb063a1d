// Samples all rows of one decode, on several threads where that pays.
#pragma once

#include <cstdint>
#include <span>

#include "core/sampler.h"

namespace llamad {

// Samples tasks[i] from rows[i] and fills in the task's results; of some of a row, its token may be
// kUndecided. Never throws: what goes wrong for a row is its task's error. `n_threads`: ggml's for
// generation, whose OpenMP team is used again.
void sample_rows(std::span<SampleTask> tasks, std::span<const LogitRow> rows, std::int32_t n_threads);

// The same for one.
void sample_row(SampleTask &task, LogitRow row);

} // namespace llamad
