#include "llama/row_sampling.h"

#include <cstddef>
#include <exception>
#include <utility>

namespace llamad {

namespace {

// Measured at a vocabulary of 49k: a row takes 3 to 6 us, or 200 us and more where its chain is slow; sharing
// rows with a second thread that spins costs some 3 us, and with one that must first be woken or given a
// processor far more than that. So share what takes about 100 us or longer.
constexpr std::size_t kWorkWorthThreads = 16; // in rows
constexpr std::size_t kSlowRow = 8;

[[maybe_unused]] std::size_t work(std::span<const SampleTask> tasks) {
    std::size_t total = 0;
    for (const SampleTask &task : tasks) {
        total += task.sampler != nullptr && task.sampler->is_slow() ? kSlowRow : 1;
    }
    return total;
}

} // namespace

void sample_row(SampleTask &task, LogitRow row) {
    try {
        if (task.sampler == nullptr) {
            task.logprobs = token_logprobs(row.values(), task.token, task.n_logprobs);
            return;
        }
        Picked picked = task.sampler->pick(row);
        task.token = picked.token;
        task.logprobs = std::move(picked.logprobs);
    } catch (const std::exception &error) {
        task.error = error.what();
    }
}

void sample_rows(std::span<SampleTask> tasks, std::span<const LogitRow> rows,
                 [[maybe_unused]] std::int32_t n_threads) {
#ifdef _OPENMP
    // Exactly ggml's number of threads: OpenMP then hands out the team that has just decoded and still spins.
    // A part of it would be another team.
    if (n_threads > 1 && tasks.size() > 1 && work(tasks) >= kWorkWorthThreads) {
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            sample_row(tasks[i], rows[i]);
        }
        return;
    }
#endif
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        sample_row(tasks[i], rows[i]);
    }
}

} // namespace llamad
