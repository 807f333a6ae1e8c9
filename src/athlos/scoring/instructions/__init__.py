"""Verifiable instructions: whether a text does what it was told to, such as to use no comma.

The checks are those of IFEval (`ifeval`), of the training sets that extend it (`training`) and of
IFBench (`ifbench_words`, `ifbench_format`). They cost time linear in the text, but for some of
their patterns, and for the keywords of a row, which are regular expressions: bound the time. Some
need the packages langdetect, emoji and syllapy (extra ``instructions``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from athlos.scoring.instructions.ifbench_format import IFBENCH_FORMAT
from athlos.scoring.instructions.ifbench_words import IFBENCH_WORDS
from athlos.scoring.instructions.ifeval import IFEVAL
from athlos.scoring.instructions.training import TRAINING

__all__ = ["INSTRUCTIONS", "follows", "follows_all", "loose_variants"]

INSTRUCTIONS: Mapping[str, Callable[..., bool]] = {
    **IFEVAL,
    **TRAINING,
    **IFBENCH_WORDS,
    **IFBENCH_FORMAT,
}
"""Id of an instruction -> its check."""


def follows(instruction_id: str, arguments: Mapping[str, Any] | None, text: str) -> bool:
    """Whether a text follows one instruction.

    An empty text follows none. An unknown instruction, and arguments that it does not take or
    cannot use, are not followed.

    Args:
        instruction_id: A key of `INSTRUCTIONS`.
        arguments: Of the row; those that are None are left out.
        text: What the model wrote.

    Raises:
        ImportError: The instruction needs a package that is not installed.
    """
    check = INSTRUCTIONS.get(instruction_id)
    if check is None or not text.strip():
        return False
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    try:
        return bool(check(text, **given))
    except ImportError:
        raise
    except Exception:  # noqa: BLE001 - arguments of any type reach string functions and patterns
        return False


def follows_all(
    instruction_ids: Sequence[str],
    arguments: Sequence[Mapping[str, Any] | None],
    text: str,
    *,
    loose: bool = False,
) -> list[bool]:
    """Whether each instruction that has arguments beside it (None or an object) is followed.

    Args:
        instruction_ids: Keys of `INSTRUCTIONS`.
        arguments: One entry for each of them.
        text: What the model wrote.
        loose: Whether one of `loose_variants` is enough.
    """
    texts = loose_variants(text) if loose else [text]
    return [
        any(follows(instruction_id, given, variant) for variant in texts)
        for instruction_id, given in zip(instruction_ids, arguments, strict=False)
    ]


def loose_variants(text: str) -> list[str]:
    """The text; without its first line, its last, both; and each of these without stars.

    Source: the loose accuracy of IFEval and IFBench.
    """
    lines = text.split("\n")
    cuts = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*cuts, *(cut.replace("*", "") for cut in cuts)]
