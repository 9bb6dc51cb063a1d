"""How the next token is chosen: `SamplingParams`, one frozen dataclass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields
from functools import partial
from typing import Any, Self

from . import _engine, errors
from .settings.sources import suggest


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Parameters of one generation.

    Names and defaults are llama.cpp's (`common_params_sampling`), so that a model card's advice can
    be pasted. Ranges are checked when the object is made, by the engine itself.

    Attributes:
        max_tokens: most tokens to generate; None: until the context is full. 0 is allowed together
            with `prompt_logprobs`.
        min_tokens: no end-of-generation token is taken before so many tokens; a stop string still ends.
            Not together with a grammar.
        temperature: 0 is greedy; higher is more random. Range [0, inf).
        top_k: keep the k likeliest tokens; 0 or -1 keeps all.
        top_p: keep the likeliest tokens whose probabilities add up to p. Range (0, 1]; 1 is off.
        min_p: drop tokens less likely than p times the likeliest. Range [0, 1]; 0 is off.
        typical_p: locally typical sampling. Range (0, 1]; 1 is off.
        repeat_penalty: divides the logits of recent tokens. Range (0, inf); 1 is off.
        repeat_last_n: how many recent tokens the three penalties look at; 0 none, -1 the context.
        frequency_penalty: subtracted per earlier occurrence. Range [-2, 2]; 0 is off.
        presence_penalty: subtracted once if the token occurred. Range [-2, 2]; 0 is off.
        dry_multiplier: strength of the DRY repetition penalty; 0 is off.
        dry_base: base of DRY's exponential growth.
        dry_allowed_length: repetitions up to this length are free.
        dry_penalty_last_n: tokens that DRY scans; 0 none, -1 the context.
        dry_sequence_breakers: strings that end a repetition for DRY.
        xtc_probability: chance of excluding top choices. Range [0, 1]; 0 is off.
        xtc_threshold: XTC removes tokens at least this likely, but the last. Above 0.5 is off.
        mirostat: 0 off, 1 Mirostat, 2 Mirostat 2.0. Replaces top-k, top-p, min-p and typical.
        mirostat_tau: Mirostat's target entropy, in nats.
        mirostat_eta: Mirostat's learning rate.
        logit_bias: token id -> value added to its logit; -inf forbids it.
        seed: of the random generator; None or -1: a new one each time.
        grammar: GBNF that the output must match; "" for none.
        stop: strings that end the generation; never part of the output. At most 64.
        ignore_eos: never end on an end-of-generation token.
        logprobs: report the logarithm of each token's probability, and of so many likeliest ones at
            its place; None reports none. Range [0, 20]. They are the model's own, before penalties,
            temperature and filters.
        prompt_logprobs: the same for the tokens of the prompt, but the first. They are computed for it,
            whatever the prefix cache holds.
        prompt_logprobs_start: index of the first token of the prompt that `prompt_logprobs` are for; what
            comes before it may be taken from the prefix cache. Range [0, number of the prompt's tokens).
            0, where `prompt_logprobs` is None.

    Raises:
        ParameterError: a value has the wrong type or lies outside its range, or there is a
            `logits_processor`: a Python function for each token would hold up every request that is
            computed in the same step. `logit_bias`, `grammar`, `json_schema`, `stop` and the penalties
            are applied by the engine itself.

    Example:
        >>> SamplingParams.greedy(max_tokens=64).replace(stop="###")
    """

    max_tokens: int | None = None
    min_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: str | Sequence[str] = ("\n", ":", '"', "*")
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: Mapping[int, float] | Sequence[tuple[int, float]] = ()
    seed: int | None = None
    grammar: str = ""
    stop: str | Sequence[str] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    prompt_logprobs_start: int = 0
    logits_processor: InitVar[object] = None
    native: _engine.SamplingParams = field(init=False, repr=False, compare=False)

    def __post_init__(self, logits_processor: object) -> None:
        """Normalise the containers (so that the object can be hashed) and validate."""
        if logits_processor is not None:
            raise errors.ParameterError(_NO_PROCESSOR, param="logits_processor")
        set_field = object.__setattr__
        for name in ("stop", "dry_sequence_breakers"):
            set_field(self, name, _strings(name, getattr(self, name)))
        set_field(self, "logit_bias", _pairs("logit_bias", self.logit_bias))
        set_field(self, "native", _engine.SamplingParams(**self._values()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values; the native twin is made anew."""
        return partial(type(self), **self._values()), ()

    def _values(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def replace(self, **changes: Any) -> Self:
        """Return the same parameters but for these.

        Raises:
            ParameterError: a name is unknown, or a value has the wrong type or lies outside its range.
        """
        check_names(changes)
        return type(self)(**(self._values() | changes))

    @classmethod
    def greedy(cls, **changes: Any) -> Self:
        """Always the likeliest token: nothing is left to chance."""
        return cls._preset(changes, temperature=0.0)

    @classmethod
    def precise(cls, **changes: Any) -> Self:
        """Close to the likeliest text, for facts, code and extraction: temperature 0.2, top-p 0.9."""
        return cls._preset(changes, temperature=0.2, top_p=0.9)

    @classmethod
    def balanced(cls, **changes: Any) -> Self:
        """For conversation: temperature 0.7, top-p 0.95, min-p 0.05."""
        return cls._preset(changes, temperature=0.7, top_p=0.95, min_p=0.05)

    @classmethod
    def creative(cls, **changes: Any) -> Self:
        """Varied text, for stories and ideas: temperature 1.2, and min-p 0.05 in place of top-k and top-p."""
        return cls._preset(changes, temperature=1.2, top_k=0, top_p=1.0, min_p=0.05)

    @classmethod
    def _preset(cls, changes: dict[str, Any], **values: Any) -> Self:
        check_names(changes)
        return cls(**(values | changes))


_NO_PROCESSOR = (
    "logits_processor is not supported: tokens are chosen on the engine's own thread, for all requests of a "
    "step together, and a Python function for each token would hold up every one of them; logit_bias, "
    "grammar, json_schema, stop and the penalties are applied by the engine itself"
)


def _strings(name: str, value: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable):
        return tuple(value)
    raise _mismatch(name, "a string or a list of strings", value)


def _pairs(
    name: str, value: Mapping[int, float] | Iterable[tuple[int, float]]
) -> tuple[tuple[int, float], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        return tuple((token, bias) for token, bias in pairs)
    except (TypeError, ValueError):  # no container, or one of something else than pairs
        raise _mismatch(name, "a mapping from token ids to numbers", value) from None


def _mismatch(name: str, expected: str, value: object) -> errors.ParameterError:
    return errors.ParameterError(f"{name} must be {expected}, got {value!r}", param=name)


FIELD_NAMES = frozenset(f.name for f in fields(SamplingParams) if f.init)
"""The names that `SamplingParams` and every `**sampling` argument accept."""


_CHOICES = "engine.choices gives several completions of a prompt"
_ELSEWHERE = {
    "best_of": _CHOICES,
    "do_sample": "temperature=0 takes the likeliest token each time",
    "echo": "prompt_logprobs tells how likely the prompt is; its text comes back nowhere",
    "logits_processors": _NO_PROCESSOR,
    "mirostat_mode": "call it mirostat",
    "n": _CHOICES,
    "n_predict": "call it max_tokens",
    "response_format": "json_schema holds an answer to a schema",
    "sampling_params": "give it as params, which is the second argument",
    "stopping_criteria": "stop ends at a string; leaving the loop of engine.stream ends at anything else",
    "stream": "engine.stream and engine.stream_chat yield an answer while it is written",
    "temp": "call it temperature",
    "tools": "engine.chat takes tools",
    "use_tqdm": "call it progress",
}
"""What llama.cpp, llama-cpp-python, vLLM, transformers and OpenAI call by other names, or do elsewhere."""


def sampling_params(params: SamplingParams | None, overrides: dict[str, Any]) -> SamplingParams:
    """Combine an optional `SamplingParams` with keyword overrides.

    Raises:
        ParameterError: an override has an unknown name, a wrong type or a value out of range; or `params` are
            no `SamplingParams`.
    """
    check_names(overrides)
    if params is None:
        return SamplingParams(**overrides)
    if not isinstance(params, SamplingParams):
        raise _mismatch("params", "SamplingParams, or None", params)
    return params.replace(**overrides) if overrides else params


def check_names(values: Mapping[str, Any]) -> None:
    """Raise a `ParameterError` if a name is no field of `SamplingParams`."""
    unknown = sorted(set(values) - FIELD_NAMES - {"logits_processor"})
    if unknown:
        name = unknown[0]
        raise errors.ParameterError(f"unknown sampling parameter {name!r}{_instead(name)}", param=name)


def _instead(name: str) -> str:
    """Say what to write in place of a name that is no field."""
    if name in _ELSEWHERE:
        return f": {_ELSEWHERE[name]}"
    return f"{suggest(name, sorted(FIELD_NAMES))}; known are {', '.join(sorted(FIELD_NAMES))}"
