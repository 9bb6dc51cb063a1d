"""Schemas as people and libraries write them, with values that satisfy them and values that do not."""

from __future__ import annotations

from .schema_case import Case
from .schema_corpus_combined import COMBINED, PYDANTIC
from .schema_corpus_compound import ARRAYS, OBJECTS
from .schema_corpus_values import NUMBERS, STRINGS, TYPES, VALUES

CORPUS: tuple[Case, ...] = (*TYPES, *VALUES, *NUMBERS, *STRINGS, *ARRAYS, *OBJECTS, *COMBINED, *PYDANTIC)
