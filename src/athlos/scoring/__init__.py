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
from athlos.scoring.json_text import brace_groups, fenced_objects, parse_json
from athlos.scoring.math import MathVerdict, verify_math
from athlos.scoring.short_answers import (
    contains_answer,
    exact_match,
    json_answer,
    surface_forms,
    token_f1,
    unreliable,
)
from athlos.scoring.similarity import SimilarityRule, score_similarity
from athlos.scoring.strings import ExtractionMode, extract_answer, score_string

__all__ = [
    "ExtractionMode",
    "GradingMode",
    "MathVerdict",
    "Options",
    "SimilarityRule",
    "all_boxed",
    "allowed_letters",
    "brace_groups",
    "contains_answer",
    "exact_match",
    "extract_answer",
    "extract_choice",
    "fenced_objects",
    "json_answer",
    "last_boxed",
    "parse_json",
    "score_choice",
    "score_similarity",
    "score_string",
    "surface_forms",
    "token_f1",
    "unreliable",
    "unwrap_text",
    "verify_math",
]
