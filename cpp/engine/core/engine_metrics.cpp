// What the engine lets others see of itself.
#include <algorithm>

#include "core/engine.h"

namespace llamad {

std::uint64_t Engine::n_kv_cells() const {
    const auto n_ctx = static_cast<std::uint64_t>(limits_of_runner_.n_ctx);
    return limits_of_runner_.unified ? n_ctx : n_ctx * static_cast<std::uint64_t>(limits_of_runner_.n_slots);
}

// What slots of a unified cache share counts for each of them, but never more than there is.
void Engine::publish_gauges() {
    std::int32_t n_running = 0;
    std::uint64_t n_used = 0;
    std::uint64_t n_held = 0;
    for (const Slot &slot : scheduler_.slots()) {
        n_held += slot.cached().size();
        n_used += slot.idle() ? 0 : slot.cached().size();
        n_running += slot.idle() ? 0 : 1;
    }
    const auto show = [](auto &gauge, auto value) { gauge.store(value, std::memory_order_relaxed); };
    show(metrics_.running, n_running);
    show(metrics_.waiting, static_cast<std::int32_t>(scheduler_.waiting().size()));
    show(metrics_.kv_cells_used, std::min(n_used, n_kv_cells()));
    show(metrics_.kv_cells_held, std::min(n_held, n_kv_cells()));
    const HostStore &store = scheduler_.prefixes().store();
    show(metrics_.store_bytes, store.bytes());
    show(metrics_.store_disk_bytes, store.disk_bytes());
    show(metrics_.store_entries, store.n_entries());
    show(metrics_.store_evictions, store.n_evicted());
    slot_watch_.publish(scheduler_.slots());
}

void Engine::record_start(const Sequence &sequence, std::size_t n_cached) {
    Metrics::add(metrics_.prompt_tokens, static_cast<std::uint64_t>(sequence.n_prompt()));
    Metrics::add(metrics_.cached_tokens, n_cached);
    metrics_.queue_s.observe(seconds_between(sequence.submitted_at(), Clock::now()));
}

// `previous`: when the one before it was sampled, or the request submitted.
void Engine::record_token(const Sequence &sequence, TimePoint previous) {
    Metrics::add(metrics_.generated_tokens, 1);
    Histogram &histogram = sequence.n_generated() == 1 ? metrics_.ttft_s : metrics_.itl_s;
    histogram.observe(seconds_between(previous, sequence.last_token_at()));
}

// Of those that were cut short, times and lengths say nothing about the model.
void Engine::record_end(const End &end) {
    Metrics::add(metrics_.finished[static_cast<std::size_t>(end.reason)], 1);
    if (end.reason != FinishReason::kStop && end.reason != FinishReason::kLength) {
        return;
    }
    const Timings &timings = end.timings;
    metrics_.e2e_s.observe(timings.queue_s + timings.prefill_s + timings.decode_s);
    metrics_.prefill_s.observe(timings.prefill_s);
    metrics_.decode_s.observe(timings.decode_s);
    metrics_.prompt_tokens_each.observe(end.usage.prompt_tokens);
    metrics_.generation_tokens_each.observe(end.usage.completion_tokens);
}

} // namespace llamad
