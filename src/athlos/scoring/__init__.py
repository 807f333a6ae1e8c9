"""What verifiers share: taking answers out of text and comparing them.

Everything here is a pure function, imports nothing else of Athlos and never raises for anything
that a model may write.
"""

from athlos.scoring.boxed import all_boxed, last_boxed, unwrap_text
from athlos.scoring.choices import (
    GradingMode,
    Options,
    allowed_letters,
    extract_choice,
    score_choice,
)
from athlos.scoring.math import MathVerdict, verify_math
from athlos.scoring.strings import ExtractionMode, extract_answer, score_string

__all__ = [
    "ExtractionMode",
    "GradingMode",
    "MathVerdict",
    "Options",
    "all_boxed",
    "allowed_letters",
    "extract_answer",
    "extract_choice",
    "last_boxed",
    "score_choice",
    "score_string",
    "unwrap_text",
    "verify_math",
]
