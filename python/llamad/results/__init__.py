"""What a generation returns: small frozen objects that can be pickled; no behaviour beyond arithmetic."""

from .chat import ChatResult, ToolCall
from .delta import ChatDelta, Delta
from .result import FinishReason, Result, error_of, result_from_finish
from .table import Results
from .tokens import NativeLogprobs, Timings, TokenLogprobs, Usage, token_logprobs

__all__ = [
    "ChatDelta",
    "ChatResult",
    "Delta",
    "FinishReason",
    "NativeLogprobs",
    "Result",
    "Results",
    "Timings",
    "TokenLogprobs",
    "ToolCall",
    "Usage",
    "error_of",
    "result_from_finish",
    "token_logprobs",
]
