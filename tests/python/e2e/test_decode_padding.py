"""Decode batches that are padded with rows of idle slots: the answers are those of batches that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from llamad import Engine, ParameterError

if TYPE_CHECKING:
    from pathlib import Path

N_PARALLEL = 8


def answers(model: Path, padding: str, **options: Any) -> list[str]:
    """Twice the same conversations, of lengths that let slots turn idle one after the other."""
    prompts = [f"{letter * 20} and so on" for letter in "ABCDEF"]
    n_tokens = [8 + 9 * i for i in range(len(prompts))]
    with Engine(
        model, n_parallel=N_PARALLEL, n_ctx=256, n_threads=1, decode_padding=padding, **options
    ) as engine:
        texts = []
        for _ in range(2):
            requests = [
                engine.submit(prompt, max_tokens=n, temperature=0, ignore_eos=True)
                for prompt, n in zip(prompts, n_tokens, strict=True)
            ]
            results = [request.result(60) for request in requests]
            texts += [result.text for result in results]
        # The second round found what the first one left in its slots.
        assert engine.stats()["cached_tokens"] > 0
        return texts


@pytest.mark.parametrize(
    "options",
    [{}, {"kv_unified": True}, {"backend_sampling": "on"}],
    ids=["slots", "unified", "backend-sampling"],
)
def test_padding_changes_no_answer(tiny_model: Path, options: dict[str, Any]) -> None:
    assert answers(tiny_model, "on", **options) == answers(tiny_model, "off", **options)


def test_what_is_no_mode_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ParameterError, match=r'decode_padding .* "yes"') as caught:
        Engine(tiny_model, decode_padding="yes")
    assert caught.value.param == "decode_padding"
