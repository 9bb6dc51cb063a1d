"""`SamplingParams`: presets, changes, hashing, and the one wish that is refused with a reason."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from llamad import ParameterError, SamplingParams
from llamad.sampling import FIELD_NAMES, sampling_params

if TYPE_CHECKING:
    from collections.abc import Callable

PRESETS = [SamplingParams.greedy, SamplingParams.precise, SamplingParams.balanced, SamplingParams.creative]


def test_presets_go_from_the_likeliest_to_the_varied() -> None:
    temperatures = [preset().temperature for preset in PRESETS]
    assert temperatures[0] == 0
    assert temperatures == sorted(set(temperatures))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_takes_changes(preset: Callable[..., SamplingParams]) -> None:
    changed = preset(max_tokens=7, temperature=0.5)
    assert (changed.max_tokens, changed.temperature) == (7, 0.5)
    with pytest.raises(ParameterError, match="unknown sampling parameter 'temprature'"):
        preset(temprature=1)
    with pytest.raises(ParameterError, match="top_p"):
        preset(top_p=2)


def test_replace_changes_what_it_is_told_alone() -> None:
    params = SamplingParams(temperature=0.3, stop="a", logit_bias={5: 1.0}, seed=3)
    changed = params.replace(stop=["b", "c"], seed=None)
    assert (changed.stop, changed.seed) == (("b", "c"), None)
    kept = FIELD_NAMES - {"stop", "seed"}
    assert all(getattr(changed, name) == getattr(params, name) for name in kept)
    assert params.stop == ("a",)
    with pytest.raises(ParameterError, match="temperature"):
        params.replace(temperature=-1)


def test_equal_parameters_are_one_key() -> None:
    made = [
        SamplingParams(stop="a", logit_bias={1: 2.0}),
        SamplingParams(stop=["a"], logit_bias=[(1, 2.0)]),
        SamplingParams().replace(stop=("a",), logit_bias=((1, 2.0),)),
    ]
    assert len(set(made)) == 1
    assert len({*made, SamplingParams()}) == 2


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SamplingParams().temperature = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    "refused",
    [
        lambda processor: SamplingParams(logits_processor=processor),
        lambda processor: SamplingParams().replace(logits_processor=processor),
        lambda processor: SamplingParams.greedy(logits_processor=processor),
        lambda processor: sampling_params(None, {"logits_processor": processor}),
        lambda processor: sampling_params(SamplingParams(), {"logits_processor": [processor]}),
    ],
)
def test_a_logits_processor_is_refused_with_the_reason(refused: Callable[..., Any]) -> None:
    with pytest.raises(ParameterError, match=r"would hold up every one.*logit_bias") as caught:
        refused(lambda token_ids, logits: logits)
    assert caught.value.param == "logits_processor"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("temprature", "did you mean temperature"),
        ("max_new_tokens", "did you mean max_tokens"),
        ("repetition_penalty", "did you mean repeat_penalty"),
        ("n_predict", "call it max_tokens"),
        ("n", r"engine\.choices"),
        ("stream", r"engine\.stream_chat"),
        ("response_format", "json_schema"),
        ("logits_processors", "would hold up every one"),
        ("xyzzy", "known are dry_allowed_length, .*, xtc_threshold"),
    ],
)
def test_names_of_other_libraries_lead_to_ours(name: str, answer: str) -> None:
    with pytest.raises(ParameterError, match=f"unknown sampling parameter '{name}'.*{answer}") as caught:
        sampling_params(None, {name: 1})
    assert caught.value.param == name


def test_no_logits_processor_is_no_wish() -> None:
    assert SamplingParams(logits_processor=None) == SamplingParams()


def test_parameters_survive_pickling() -> None:
    params = SamplingParams.creative(stop="a", logit_bias={3: -1.0})
    again = pickle.loads(pickle.dumps(params))
    assert again == params
    assert again.replace(seed=1).stop == ("a",)
