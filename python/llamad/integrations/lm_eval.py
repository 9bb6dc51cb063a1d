"""lm-evaluation-harness with the model in its own process: `--model llamad`.

The harness learns of the model when this module is imported, so it is started through it:

    python -m llamad.integrations.lm_eval run --model llamad --model_args pretrained=smollm2 --tasks …

In Python, `LlamadLM` goes to `lm_eval.simple_evaluate(model=…)` as any model does.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from lm_eval.__main__ import cli_evaluate
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from llamad import Engine
from llamad.sampling import SamplingParams, sampling_params

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from lm_eval.api.instance import Instance

_logger = logging.getLogger(__name__)

_N_PARALLEL = 8
"""Slots where nothing is said: what the harness asks comes by the thousand."""


@register_model("llamad")
class LlamadLM(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """A model of llamad's as lm-evaluation-harness asks it; thousands of requests share its slots.

    Prompts and continuations are tokenized as the harness does it for every model, so its numbers can be
    compared with those of others. What does not fit into the context loses its beginning.
    """

    def __init__(
        self,
        pretrained: str | os.PathLike[str] | Engine,
        *,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        batch_size: int | str | None = None,  # noqa: ARG002 - the engine fills its batches by itself
        max_batch_size: int | None = None,  # noqa: ARG002
        device: str | None = None,  # noqa: ARG002 - that is `n_gpu_layers` and `main_gpu`
        **options: Any,
    ) -> None:
        """Load a model, or use one that is loaded.

        Args:
            pretrained: as for `Engine.from_pretrained`; or an engine, which stays the caller's to close.
            max_length: most tokens from which one is predicted; None: what a slot's context has room for.
            max_gen_toks: most tokens to generate, where a task does not say.
            batch_size: of the harness; without effect, as `max_batch_size` and `device`.
            max_batch_size: see above.
            device: see above.
            options: of `Engine.from_pretrained`; `n_parallel` is 8 where it is not given.

        Raises:
            ModelError, PullError, ParameterError: as `Engine.from_pretrained`.
            ValueError: there are options for an engine that is loaded already, or `max_length` is more than
                its context has room for.
        """
        super().__init__()
        if isinstance(pretrained, Engine):
            if options:
                raise ValueError(f"the engine is loaded already: {', '.join(options)} cannot be set")
            self.engine = pretrained
        else:
            self.engine = Engine.from_pretrained(pretrained, **{"n_parallel": _N_PARALLEL} | options)
        # The engine's windows hold one token less than its context, and their first is not predicted.
        longest = self.engine.info.n_ctx - 2
        self.max_length = longest if max_length is None else int(max_length)
        if not 1 <= self.max_length <= longest:
            raise ValueError(f"max_length must be 1 to {longest}, got {max_length}: load with a larger n_ctx")
        self.max_gen_toks = int(max_gen_toks)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self._token(self.engine.info.eos_token)

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a text that nothing stands before."""
        return self._token(self.engine.info.bos_token or self.engine.info.eos_token)

    @property
    def tokenizer_name(self) -> str:
        """A name for the tokenizer and template, by which the harness keeps what it has cached apart."""
        return f"llamad-{self.engine.info.description}".replace(" ", "_").replace("/", "_")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Turn text into tokens; by default with the beginning that the model wants, unless it is there."""
        bos = self.engine.info.bos_token
        if add_special_tokens is None:
            add_special_tokens = not (bos and string.startswith(bos))
        return self.engine.tokenize(string, add_special=add_special_tokens)

    def apply_chat_template(
        self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the prompt of a conversation; without a generation prompt its last message is continued."""
        conversation = {"messages": chat_history, "continue_final_message": not add_generation_prompt}
        return self.engine._native.apply_template(json.dumps(conversation))  # noqa: SLF001

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of each whole text, in windows of the longest length."""
        texts = [request.args[0] for request in requests]
        windows = [list(self._windows(text)) for text in texts]
        answers = iter(self._likelihoods([one for text in windows for one in text], disable_tqdm))
        totals = [sum(next(answers)[0] for _ in text) for text in windows]
        self._note("loglikelihood_rolling", [(text,) for text in texts], totals)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Generate a text for each request, up to one of its stop strings."""
        prompts, params = [], []
        for context, asked in (request.args for request in requests):
            how = self._sampling(asked)
            longest = max(1, self.max_length + 1 - (how.max_tokens or 0))
            prompts.append(self._cut(self.tok_encode(context), longest))
            params.append(how)
        results = self.engine.generate(prompts, params, progress=False if disable_tqdm else None)
        texts = [result.text for result in results]
        self._note("generate_until", [request.args for request in requests], texts)
        return texts

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        **_: Any,
    ) -> list[tuple[float, bool]]:
        answers = self._likelihoods([(context, rest) for _, context, rest in requests], disable_tqdm)
        self._note("loglikelihood", [texts for texts, _, _ in requests], answers)
        return answers

    def _likelihoods(
        self, pairs: Iterable[tuple[list[int], list[int]]], disable_tqdm: bool
    ) -> list[tuple[float, bool]]:
        fitting = [
            (self._cut(context, max(1, self.max_length + 1 - len(rest))), rest) for context, rest in pairs
        ]
        return self.engine.loglikelihood(fitting, progress=False if disable_tqdm else None)

    def _windows(self, text: str) -> Iterable[tuple[list[int], list[int]]]:
        windows = get_rolling_token_windows(
            token_list=self.tok_encode(text),
            prefix_token=self.prefix_token_id,
            max_seq_len=self.max_length,
            context_len=1,
        )
        return map(make_disjoint_window, windows)

    def _sampling(self, asked: dict[str, Any]) -> SamplingParams:
        """Return what a task's generation arguments say.

        Raises:
            ParameterError: one of them has no counterpart, or is out of range.
        """
        wanted = dict(normalize_gen_kwargs(asked, self.max_gen_toks))
        wanted.pop("do_sample", None)
        if "repetition_penalty" in wanted:
            wanted["repeat_penalty"] = wanted.pop("repetition_penalty")
        until, max_tokens = wanted.pop("until"), wanted.pop("max_gen_toks")
        return sampling_params(None, wanted | {"stop": until, "max_tokens": max_tokens})

    def _cut(self, tokens: list[int], longest: int) -> list[int]:
        if len(tokens) > longest:
            _logger.warning("a context of %d tokens is cut to its last %d", len(tokens), longest)
        return tokens[-longest:]

    def _note(self, what: str, requests: Iterable[tuple[Any, ...]], answers: Iterable[Any]) -> None:
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(what, request, answer)

    def _token(self, text: str) -> int:
        return self.engine.tokenize(text, add_special=False)[0]


if __name__ == "__main__":
    cli_evaluate()
