"""How much of one text is in another: containment, word error rate, runs of words and characters.

Each takes time about linear in the length of the texts, except `sequence_ratio`.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from athlos.scoring.normalize import fold

__all__ = [
    "contained",
    "longest_common_share",
    "ngram_share",
    "sequence_ratio",
    "soft_match",
    "without_documents",
]

_DOCUMENT = re.compile(r"Document [0-9]+:")


def contained(text: str, parts: Sequence[str]) -> list[bool]:
    """Of each part, whether the text has it, in upper or lower case."""
    text = text.lower()
    return [part.lower() in text for part in parts]


def soft_match(text: str, expected: str) -> float:
    """1.0 if the text has the expected one in it, else 1 - its word error rate, but at least 0.0.

    The rule of RULER v2: case does not matter; the error rate counts words to insert, delete and
    replace, over the words expected.
    """
    text, expected = text.lower(), expected.lower()
    if expected in text:
        return 1.0
    words, wanted = text.split(), expected.split()
    if not wanted or len(words) >= 2 * len(wanted):  # as many insertions as words expected
        return 0.0
    return max(0.0, 1 - _edits(words, wanted) / len(wanted))


def _edits(words: Sequence[str], wanted: Sequence[str]) -> int:
    row = list(range(len(wanted) + 1))
    for number, word in enumerate(words, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(wanted, 1):
            best = min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
            diagonal, row[place] = row[place], best
    return row[-1]


def without_documents(text: str) -> str:
    """The text without passages that begin with ``Document 7:`` and end with an empty line."""
    kept: list[str] = []
    position = 0
    while found := _DOCUMENT.search(text, position):
        end = text.find("\n\n", found.end())
        if end < 0:
            break
        kept.append(text[position : found.start()])
        position = end + 2
    kept.append(text[position:])
    return "".join(kept)


def sequence_ratio(text: str, other: str) -> float:
    """The ratio of difflib's `SequenceMatcher`. Texts that repeat themselves can keep it busy."""
    return SequenceMatcher(None, text, other).ratio()


def ngram_share(text: str, source: str, length: int = 16) -> float:
    """Share of the different runs of words of a text that are in the source as well.

    A text with fewer words than a run has none, and shares nothing. Case and kind of white space
    do not matter.
    """
    runs, others = (_runs(fold(one).split(), length) for one in (text, source))
    return len(runs & others) / len(runs) if runs else 0.0


def _runs(words: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def longest_common_share(text: str, source: str) -> float:
    """Length of the longest passage that a text and a source have in common, over the text's.

    Counted in characters; case and kind of white space do not matter. An empty text shares nothing.
    """
    text, source = fold(text), fold(source)
    return _longest_common(text, source) / len(text) if text else 0.0


def _longest_common(text: str, source: str) -> int:
    """By the suffix automaton of the text, through which the source is walked."""
    links, lengths = [-1], [0]
    moves: list[dict[str, int]] = [{}]
    last = 0
    for character in text:
        state = len(moves)
        lengths.append(lengths[last] + 1)
        links.append(0)
        moves.append({})
        walk = last
        while walk >= 0 and character not in moves[walk]:
            moves[walk][character] = state
            walk = links[walk]
        if walk >= 0:
            target = moves[walk][character]
            if lengths[walk] + 1 == lengths[target]:
                links[state] = target
            else:
                copy = len(moves)
                lengths.append(lengths[walk] + 1)
                links.append(links[target])
                moves.append(dict(moves[target]))
                while walk >= 0 and moves[walk].get(character) == target:
                    moves[walk][character] = copy
                    walk = links[walk]
                links[target] = links[state] = copy
        last = state
    best = length = state = 0
    for character in source:
        while state and character not in moves[state]:
            state = links[state]
            length = lengths[state]
        if character in moves[state]:
            state = moves[state][character]
            length += 1
            best = max(best, length)
    return best
