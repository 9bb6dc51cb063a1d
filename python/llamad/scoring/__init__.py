"""How likely a model holds given text to be: scores, log-likelihoods, perplexity.

`values` is what comes back, `windows` cuts what is longer than the context, `pairs` turns prompts and
continuations into tokens, and `engine` is the half of `Engine` and `AsyncEngine` that runs all this.
"""

from .engine import AsyncScoring, Scoring
from .values import Perplexity, Score

__all__ = ["AsyncScoring", "Perplexity", "Score", "Scoring"]
