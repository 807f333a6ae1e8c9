"""Further instructions of the training sets that extend IFEval, each as a check of a text.

Semantics: the IFEvalG constraints of "Generalizing Verifiable Instruction Following" (Pyatkin et
al., 2025) and the code published with it in open-instruct (Apache-2.0).
"""

import re
from collections.abc import Callable
from itertools import pairwise

from athlos.scoring.instructions.ifeval import IFEVAL, compared, divided_paragraphs
from athlos.scoring.instructions.text import sentences, tokens

__all__ = ["TRAINING"]

_NO_WORD = re.compile(r"[^\w\s]")


def _one(word: object) -> str:
    """A word, or the first of several, as some rows have it."""
    first = word[0] if isinstance(word, list) else word
    if not isinstance(first, str):
        raise TypeError("a word is expected")
    return first.strip().lower()


def _last(text: str) -> str:
    return _NO_WORD.sub("", text.split()[-1]).lower()


def _first_word_sent(text: str, *, first_word: object) -> bool:
    word = _one(first_word)
    return all(s.strip() and s.split()[0].lower() == word for s in sentences(text))


def _first_word_answer(text: str, *, first_word: object) -> bool:
    return text.split()[0].lower() == _one(first_word)


def _last_word_sent(text: str, *, last_word: object) -> bool:
    word = _one(last_word)
    return all(s.strip() and _last(s) == word for s in sentences(text))


def _last_word_answer(text: str, *, last_word: object) -> bool:
    return _last(text) == _one(last_word)


def _lowercase_counting(text: str, *, N: int) -> bool:
    return len(re.findall(r"\b[a-z]+\b", text)) <= N


def _count_unique(text: str) -> bool:
    found = tokens(text)
    return len(found) == len(set(found))


def _counting_composition(text: str, *, n_sent: int, n_words: int) -> bool:
    paragraphs = re.split(r"\s?\*\*\*\s?", text)
    found = [sentences(paragraph) for paragraph in paragraphs]
    if divided_paragraphs(text, r"\s?\*\*\*\s?") != 3:
        return False
    return all(
        len(said) == n_sent and all(len(tokens(sentence)) == n_words for sentence in said)
        for said in found
    )


def _count_increment_word(text: str, *, keyword1: str, keyword2: str) -> bool:
    counts = (
        len(re.findall(keyword.strip(), text, re.IGNORECASE)) for keyword in (keyword1, keyword2)
    )
    return tuple(counts) == (1, 2)


def _letter_counting(text: str, *, N: int, relation: str) -> bool:
    return compared(len(re.findall("[a-zA-Z]", text)), relation, N)


def _paragraphs(text: str) -> bool:
    return divided_paragraphs(text, r"\s?\*\*\*\s?") == 2


def _paragraphs2(text: str) -> bool:
    return divided_paragraphs(text, "\n\n") == 2


def _sentence_hyphens(text: str) -> bool:
    expected = sentences(text.replace("-", " "))
    return all(part == s for part, s in zip(text.split("-"), expected, strict=False))


def _square_brackets(text: str) -> bool:
    return all(word.startswith("[") and word.endswith("]") for word in text.split())


def _bigram_wrapping(text: str) -> bool:
    said = text.split()
    pairs = zip(said[::2], said[1::2], strict=False)
    return all(first.startswith("<<") and second.endswith(">>") for first, second in pairs)


def _word_once(text: str, *, keyword: str) -> bool:
    return len(re.findall(keyword.strip(), text, re.IGNORECASE)) == 1


def _exclude_word_harder(text: str, *, keyword: str) -> bool:
    return f" {keyword.strip()} " not in text


def _no_adjacent_consecutive(text: str) -> bool:
    letters = [word[0].lower() for word in text.split()]
    if any(len(letter) != 1 for letter in letters):
        return False
    return all(ord(second) - ord(first) != 1 for first, second in pairwise(letters))


def _palindrome(text: str) -> bool:
    return any(word == word[::-1] for word in text.split())


def _specific_position(text: str, *, keyword: object, n: int, m: int) -> bool:
    word = keyword[0] if isinstance(keyword, list) else keyword
    said = sentences(text)
    if not (1 <= n <= len(said) and isinstance(word, str)):
        return False
    found = tokens(said[n - 1])
    return 1 <= m <= len(found) and found[m - 1] == word.strip()


def _start_end(text: str) -> bool:
    found = tokens(text)
    return len(found) >= 2 and found[0].lower() == found[-1].lower()


def _copy(text: str, *, prompt_to_repeat: str) -> bool:
    return bool(prompt_to_repeat) and text.strip().lower() == prompt_to_repeat.strip().lower()


def _copying_multiple(text: str, *, prompt_to_repeat: str, N: int) -> bool:
    parts = text.split("******")
    return len(parts) == N and all(_copy(p, prompt_to_repeat=prompt_to_repeat) for p in parts)


def _copy_span(text: str, *, prompt_to_repeat: str, n_start: int, n_end: int) -> bool:
    return text.strip().lower() == prompt_to_repeat[n_start:n_end].strip().lower()


def _repeat_phrase(text: str, *, phrase: str, small_n: int) -> bool:
    expected = phrase.split()
    found = re.findall(f"{expected[0]} .*? {expected[-1]}", text)
    if len(found) != small_n:
        return False
    differences = [
        sum(a != b for a, b in zip(said, expected, strict=False))
        for said in map(str.split, found)
        if len(said) <= len(expected)
    ]
    # of the last one only, a change is required
    return len(differences) == small_n and max(differences) <= 1 and differences[-1] == 1


TRAINING: dict[str, Callable[..., bool]] = {
    "first_word:first_word_sent": _first_word_sent,
    "first_word:first_word_answer": _first_word_answer,
    "last_word:last_word_sent": _last_word_sent,
    "last_word:last_word_answer": _last_word_answer,
    "count:lowercase_counting": _lowercase_counting,
    "count:count_unique": _count_unique,
    "count:counting_composition": _counting_composition,
    "count:count_increment_word": _count_increment_word,
    "letters:letter_counting": _letter_counting,
    "letters:letter_counting2": IFEVAL["keywords:letter_frequency"],
    "paragraphs:paragraphs": _paragraphs,
    "paragraphs:paragraphs2": _paragraphs2,
    "detectable_format:sentence_hyphens": _sentence_hyphens,
    "detectable_format:square_brackets": _square_brackets,
    "detectable_format:bigram_wrapping": _bigram_wrapping,
    "keywords:word_once": _word_once,
    "keywords:word_count_different_numbers": IFEVAL["keywords:frequency"],
    "keywords:exclude_word_harder": _exclude_word_harder,
    "keywords:no_adjacent_consecutive": _no_adjacent_consecutive,
    "keywords:palindrome": _palindrome,
    "keywords:keyword_specific_position": _specific_position,
    "keywords:start_end": _start_end,
    "punctuation:punctuation_dot": lambda text: "." not in text,
    "punctuation:punctuation_exclamation": lambda text: "!" not in text,
    "copy:copy": _copy,
    "copy:copying_simple": _copy,
    "copy:copying_multiple": _copying_multiple,
    "copy:repeat_phrase": _repeat_phrase,
    "new:copy_span_idx": _copy_span,
}
"""Id of an instruction -> the check, which takes the text and the row's arguments by name."""
