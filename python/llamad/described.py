"""What a loaded model is, in a few words: for the `repr` of what holds it, and for people at terminals."""

from __future__ import annotations

from typing import Protocol


class Model(Protocol):
    """What every loaded model says of itself."""

    @property
    def architecture(self) -> str: ...
    @property
    def n_params(self) -> int: ...
    @property
    def quantization(self) -> str: ...


def described(model: Model) -> str:
    """Return for example "llama, 135 million parameters, Q4_1".

    llama.cpp's own description guesses the size from the number of layers.
    """
    return f"{model.architecture}, {model.n_params / 1e6:,.0f} million parameters, {model.quantization}"


def shown(owner: object, model: Model, room: str) -> str:
    """Return the `repr` of what holds a model, with what it has room for."""
    return f"<{type(owner).__name__}: {described(model)}; {room}>"
