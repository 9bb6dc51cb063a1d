"""`AsyncEngine`: the native engine on an event loop."""

from __future__ import annotations

from .aio.chats import AsyncChats
from .aio.completions import AsyncCompletions
from .scoring import AsyncScoring


class AsyncEngine(AsyncCompletions, AsyncChats, AsyncScoring):
    """A loaded model on the running event loop.

    Use it as an async context manager, or call `close()`. One instance belongs to one loop, and its
    coroutines may be awaited on others too, in other threads: they are carried out on its own. The model
    behind it computes on its own thread. It can be neither pickled nor copied, and after a fork the child
    must load its own.

    Example:
        >>> async with await AsyncEngine.from_pretrained("smollm2") as engine:
        ...     results = await engine.generate(["The sky is", "Grass is"], max_tokens=16)
        ...     async with await engine.stream_chat("Once upon a time?", max_tokens=32) as stream:
        ...         async for delta in stream:
        ...             print(delta.text, end="")
    """
