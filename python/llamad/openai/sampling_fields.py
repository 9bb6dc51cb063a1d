"""How to sample: the fields that chat and completions share."""

from __future__ import annotations

from ..fields import INT64_MAX, INT64_MIN, Boolean, Field, Integer, LogitBias, Number, Only, Strings

SAMPLING_FIELDS = (
    Field("temperature", Number(0), "temperature"),
    Field("top_p", Number(0, 1, above_minimum=True), "top_p"),
    Field("frequency_penalty", Number(-2, 2), "frequency_penalty"),
    Field("presence_penalty", Number(-2, 2), "presence_penalty"),
    Field("stop", Strings(64, or_one=True), "stop"),
    Field("seed", Integer(INT64_MIN, INT64_MAX), "seed"),
    Field("logit_bias", LogitBias(), "logit_bias"),
    # From here on extensions, named as llama.cpp names them.
    Field("top_k", Integer(-1), "top_k"),
    Field("min_p", Number(0, 1), "min_p"),
    Field("typical_p", Number(0, 1, above_minimum=True), "typical_p"),
    # The same by vLLM's name; where both are there, llama.cpp's holds.
    Field("repetition_penalty", Number(0, above_minimum=True), "repeat_penalty"),
    Field("repeat_penalty", Number(0, above_minimum=True), "repeat_penalty"),
    Field("repeat_last_n", Integer(-1), "repeat_last_n"),
    Field("dry_multiplier", Number(0), "dry_multiplier"),
    Field("dry_base", Number(1), "dry_base"),
    Field("dry_allowed_length", Integer(), "dry_allowed_length"),
    Field("dry_penalty_last_n", Integer(-1), "dry_penalty_last_n"),
    Field("dry_sequence_breakers", Strings(64), "dry_sequence_breakers"),
    Field("xtc_probability", Number(0, 1), "xtc_probability"),
    Field("xtc_threshold", Number(0, 1), "xtc_threshold"),
    Field("mirostat", Integer(0, 2), "mirostat"),
    Field("mirostat_tau", Number(0), "mirostat_tau"),
    Field("mirostat_eta", Number(0), "mirostat_eta"),
    Field("min_tokens", Integer(), "min_tokens"),
    Field("ignore_eos", Boolean(), "ignore_eos"),
    # vLLM's, which would change the answer if they were served.
    Field("stop_token_ids", Only(([],), "ending on a token id is")),
    Field("allowed_token_ids", Only((), "a list of allowed tokens is")),
    Field("bad_words", Only(([],), "a list of forbidden words is")),
    Field("include_stop_str_in_output", Only((False,), "a stop string in the output is")),
    Field("skip_special_tokens", Only((True,), "control tokens in the output are")),
    Field("use_beam_search", Only((False,), "beam search is")),
)
"""The targets are the names of `SamplingParams`, whose defaults hold where absent."""
