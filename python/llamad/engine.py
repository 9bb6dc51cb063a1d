"""`Engine`: the blocking face of the native engine, for notebooks and scripts; needs no event loop."""

from __future__ import annotations

from .blocking.chats import Chats
from .blocking.completions import Completions
from .scoring import Scoring


class Engine(Completions, Chats, Scoring):
    """A loaded model that answers many prompts at once.

    Every method may be called from any thread, and inside a running event loop, which it blocks meanwhile
    (`AsyncEngine` does not). Close it, or use it as a context manager, to free the model's memory. One that
    is dropped without that frees it once what was submitted is over. It belongs to the process that has
    loaded it: it can be neither pickled nor copied, and after a fork the child must load its own.

    Example:
        >>> with Engine.from_pretrained("smollm2", n_parallel=8) as engine:
        ...     results = engine.generate(["The sky is", "Grass is"], max_tokens=16, temperature=0)
        ...     print(results.texts)
        ...     print(engine.chat("What is the capital of France?").text)
    """
