"""Every exception that llamad raises, drawn as one tree.

    LlamadError
    ├── ModelError                 something is wrong with a model file
    │   ├── ModelNotFoundError     the path does not exist (also a FileNotFoundError)
    │   ├── InvalidModelError      not a GGUF, or one that llama.cpp cannot read
    │   │   └── TruncatedModelError    the file ends before its tensors do
    │   └── ModelLoadError         a good file that could not be loaded (memory, device, ...)
    │       └── LoadFailedError    the same of a served model: its message may be told to anybody
    ├── RequestError               the caller asked for something impossible (also a ValueError)
    │   ├── ParameterError         a parameter is unknown, of the wrong type or out of range
    │   ├── ContextLengthError     the prompt does not fit into the context
    │   ├── TemplateError          the messages do not fit the model's chat template
    │   └── GrammarError           the grammar does not parse
    ├── SettingsError              a flag, variable or configuration key is wrong (also a ValueError)
    ├── QuantizationError          a model could not be written in another type
    ├── PullError                  a model could not be fetched
    ├── BatchFileError             a file of requests or of answers failed while it was worked on
    ├── UnknownModelError          no model of this name is served
    ├── ModelLoadingError          the model is still being loaded; try again later
    ├── ModelBusyError             the model cannot be unloaded while requests use it
    ├── MemoryBudgetError          the model needs more memory than it may ever get
    ├── QueueFullError             the bounded queue has no room; try again later
    ├── RequestTimeoutError        the request took longer than it may
    │   └── QueueTimeoutError      it waited too long for a slot; try again later
    ├── OutputError                a class refuses the answer that was to be parsed to it (also a ValueError)
    ├── EngineClosedError          the engine was closed before or while it worked on this
    └── GenerationError            decoding failed; other requests are not affected

    KeyboardInterrupt
    └── GenerationInterrupted      Ctrl-C or a notebook's stop button, with what there was by then

The native engine raises the same classes: `cpp/bindings/errors.cpp` maps each C++ exception to its
namesake here.

`llamad` exports those that its classes raise. `SettingsError`, `BatchFileError`, `UnknownModelError`,
`LoadFailedError`, `ModelLoadingError`, `ModelBusyError` and `MemoryBudgetError` are raised by the server and
the command line alone, and stay here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .results import Result

_LONGEST_NAME, _MOST_NAMES = 60, 20
"""What a message repeats of an unknown model's name (in characters), and lists of the known ones."""


class LlamadError(Exception):
    """Base of every exception raised by llamad."""


class ModelError(LlamadError):
    """Something is wrong with a model file."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """The model file does not exist."""


class InvalidModelError(ModelError):
    """The file is not a GGUF model, or one that llama.cpp cannot read."""


class TruncatedModelError(InvalidModelError):
    """The file ends before its tensors do: an interrupted download, usually."""


class ModelLoadError(ModelError):
    """The file is sound, but the model could not be loaded (memory, device, context size)."""


class LoadFailedError(ModelLoadError):
    """A served model could not be loaded. The message gives the reason and names no path."""


class RequestError(LlamadError, ValueError):
    """The caller asked for something that cannot be done.

    Attributes:
        param: name of the offending parameter, or None where no single one is to blame.
    """

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ParameterError(RequestError):
    """A parameter is unknown, has the wrong type or lies outside its range."""


class ContextLengthError(RequestError):
    """The prompt does not fit into the context of one slot."""


class TemplateError(RequestError):
    """The messages do not fit the model's chat template."""


class GrammarError(RequestError):
    """The grammar does not parse."""


class SettingsError(LlamadError, ValueError):
    """A flag, an environment variable or a key of the configuration file is wrong."""


class QuantizationError(LlamadError):
    """A model could not be written in another type; no half-written file is left behind."""


class PullError(LlamadError):
    """A model could not be fetched; no half-made model is left behind."""


class BatchFileError(LlamadError):
    """A file of requests could not be read on, or its answers could not be written."""


class UnknownModelError(LlamadError):
    """No model of this name is served.

    Attributes:
        model: the name that was asked for.
        known: the names there are.
    """

    def __init__(self, model: str, known: Sequence[str]) -> None:
        shown = model if len(model) <= _LONGEST_NAME else model[:_LONGEST_NAME] + "…"
        more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
        listed = (
            f"there are: {', '.join(known[:_MOST_NAMES])}{more}"
            if known
            else "the model directory holds none"
        )
        super().__init__(f"no model {shown!r}; {listed}")
        self.model = model
        self.known = list(known)


class ModelLoadingError(LlamadError):
    """The model is still being loaded after the time that a request may wait for it."""


class ModelBusyError(LlamadError):
    """The model cannot be unloaded: it is being loaded, or requests use it."""


class MemoryBudgetError(LlamadError):
    """The model needs more memory than the budget has, or than pinned models leave of it."""


class QueueFullError(LlamadError):
    """The bounded queue has no room for another request; try again later."""


class RequestTimeoutError(LlamadError):
    """The request took longer than its own `timeout_s`, or the engine's limit, allows.

    Attributes:
        partial: what had been generated by then, with finish reason "cancelled"; None where nothing
            could be.
    """

    def __init__(self, message: str, *, partial: Result | None = None) -> None:
        super().__init__(message)
        self.partial = partial


class QueueTimeoutError(RequestTimeoutError):
    """The request waited longer for a slot than the engine's `queue_timeout_s` allows; try again later."""


class OutputError(LlamadError, ValueError):
    """A class refuses the answer that was to be parsed to it, though its JSON fits the class's schema.

    Attributes:
        result: what was generated; `result.text` is the answer.
    """

    def __init__(self, message: str, *, result: Result | None = None) -> None:
        super().__init__(message)
        self.result = result


class GenerationInterrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop button, came while results were waited for; everything is cancelled.

    Attributes:
        partial: a result for each prompt, or None for what had not begun. What was cut off has finish reason
            "cancelled" and its text so far. After a notebook's cell: `sys.last_value.partial`.
    """

    def __init__(self, partial: Sequence[Result | None]) -> None:
        n_cut = sum(one is not None and one.finish_reason == "cancelled" for one in partial)
        n_none = sum(one is None for one in partial)
        super().__init__(
            f"{len(partial) - n_cut - n_none} of {len(partial)} were done, {n_cut} were cut off; "
            "see the exception's `partial`"
        )
        self.partial = list(partial)

    def __reduce__(self) -> tuple[type[GenerationInterrupted], tuple[list[Result | None]]]:
        return type(self), (self.partial,)


class EngineClosedError(LlamadError):
    """The engine was closed before or while it worked on this request."""


class GenerationError(LlamadError):
    """Decoding failed for this request; other requests are not affected."""
