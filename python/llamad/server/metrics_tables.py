"""Which of an engine's figures are told, and under which names.

Where vLLM measures the same, the name is its own with `llamad_` in front, so that dashboards and alerts made
for it need no more than the other prefix. Every one has the label `model_name`.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One metric.

    Attributes:
        key: of the figure in `stats()`, or in its histograms.
        name: of the metric, without `llamad_`; of a counter, without `_total`.
        text: what it says.
        beside: another figure, without which this one says nothing.
    """

    key: str
    name: str
    text: str
    beside: str = ""


COUNTERS = (
    Row("prompt_tokens", "prompt_tokens", "Prompt tokens of requests given a slot, cached ones included."),
    Row("generated_tokens", "generation_tokens", "Tokens sampled."),
    Row(
        "prompt_tokens",
        "prefix_cache_queries",
        "Prompt tokens that were looked up in the prefix cache.",
        beside="cached_tokens",
    ),
    Row("cached_tokens", "prefix_cache_hits", "Of these, tokens that did not have to be computed."),
    Row("copied_tokens", "prefix_cache_copied_tokens", "Of the hits, tokens copied from another slot."),
    Row("restored_tokens", "prefix_cache_restored_tokens", "Of the hits, tokens restored from the store."),
    Row("prefix_cache_evictions", "prefix_cache_evictions", "States that left the store's memory for room."),
    Row("prefilled_tokens", "prefilled_tokens", "Prompt tokens computed, those of preempted requests again."),
    Row("preemptions", "num_preemptions", "Requests that lost their slot and were computed again later."),
    Row("rejected", "requests_rejected", "Requests that found the queue full."),
    Row("decode_calls", "decode_calls", "Calls of llama.cpp's decode or encode."),
    Row("inputs", "inputs", "Embeddings and scores computed."),
)

GAUGES = (
    Row("running", "num_requests_running", "Requests that have a slot, or an input in a batch."),
    Row("waiting", "num_requests_waiting", "Requests that wait for that."),
    Row("slots", "slots", "Requests that can run at once."),
    Row("kv_cells", "kv_cells", "Tokens that the KV cache has room for."),
    Row("kv_cells_used", "kv_cells_used", "Tokens of running requests in the KV cache."),
    Row("kv_cells_held", "kv_cells_held", "The same and what idle slots hold for the next request."),
    Row("prefix_cache_bytes", "prefix_cache_bytes", "Memory of the prefix cache's store."),
    Row("prefix_cache_disk_bytes", "prefix_cache_disk_bytes", "Disk space of the prefix cache's store."),
    Row("prefix_cache_entries", "prefix_cache_entries", "States in the prefix cache's store."),
    Row("busy_s", "engine_stall_seconds", "Time since an engine that has work last got something done."),
)

HISTOGRAMS = (
    Row("ttft_s", "time_to_first_token_seconds", "From a request's arrival to its first token."),
    Row("itl_s", "inter_token_latency_seconds", "From one token of a request to the next."),
    Row("e2e_s", "e2e_request_latency_seconds", "From a request's arrival to its end."),
    Row("queue_s", "request_queue_time_seconds", "From a request's arrival to its slot."),
    Row("prefill_s", "request_prefill_time_seconds", "From a request's slot to its first token."),
    Row("decode_s", "request_decode_time_seconds", "From a request's first token to its end."),
    Row("prompt_tokens", "request_prompt_tokens", "Tokens of a request's prompt."),
    Row("generation_tokens", "request_generation_tokens", "Tokens generated for a request."),
    Row("step_s", "step_seconds", "Turns of the engine's loop that computed something."),
)

BATCH_ROWS = (
    ("decode_rows", "decode"),
    ("prefill_rows", "prefill"),
    ("batch_rows", "embed"),
)
"""Keys of the histograms behind `llamad_batch_rows`, and its label `phase`."""

OUTCOMES = (
    ("finished_stop", "stop"),
    ("finished_length", "length"),
    ("finished_cancelled", "abort"),
    ("timeouts", "timeout"),
    ("queue_timeouts", "queue_timeout"),
    ("finished_error", "error"),
)
"""Keys of the counters behind `llamad_request_success_total`, and its label `finished_reason`.

The name and the first three reasons are vLLM's. Among the errors the engine counts the time-outs too.
"""

COUNTED = frozenset({row.key for row in COUNTERS} | {key for key, _ in OUTCOMES})
"""Keys of all that only grows."""
