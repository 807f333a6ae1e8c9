"""The 25 instructions of IFEval, each as a check of a text.

Semantics: "Instruction-Following Evaluation for Large Language Models" (Zhou et al., 2023) and the
code published with it (Apache-2.0). What a row must give and does not is an error here, where that
code draws it at random.
"""

import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from athlos.scoring.instructions.text import sentences, tokens, words
from athlos.scoring.json_text import parse_json

__all__ = ["IFEVAL", "compared", "divided_paragraphs", "is_in_language"]

_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_WORD_ENDS = frozenset(".,?!'\"")
_FENCES = ("```json", "```Json", "```JSON", "```")


def compared(count: int, relation: str, limit: int) -> bool:
    """Whether a count is ``less than`` a limit, or ``at least`` that.

    Raises:
        ValueError: The relation is neither.
    """
    if relation == "less than":
        return count < limit
    if relation == "at least":
        return count >= limit
    raise ValueError(f"relation: found {relation!r}, expected 'less than' or 'at least'")


_REMEMBERED = 20_000  # characters of a text whose language is remembered


def is_in_language(text: str, language: str) -> bool:
    """Whether langdetect takes the text for one of a language; also if it cannot tell at all.

    Raises:
        ImportError: langdetect is not installed.
    """
    found = _language(text) if len(text) <= _REMEMBERED else _language.__wrapped__(text)
    return found in ("", language)


@lru_cache(maxsize=512)
def _language(text: str) -> str:
    """What langdetect takes a text for; "" if it cannot tell. It takes milliseconds to tell."""
    import langdetect  # type: ignore[import-untyped]

    langdetect.DetectorFactory.seed = 0  # it draws samples of long texts
    try:
        return str(langdetect.detect(text))
    except langdetect.LangDetectException:
        logging.getLogger(__name__).debug("a text has no features that tell its language")
        return ""


def divided_paragraphs(text: str, divider: str) -> int | None:
    """How many paragraphs a divider (a pattern) makes; None if one between two is empty."""
    parts = re.split(divider, text)
    inner = parts[1:-1]
    if any(not part.strip() for part in inner):
        return None
    return sum(bool(part.strip()) for part in parts)


def _existence(text: str, *, keywords: Sequence[str]) -> bool:
    found = [re.search(keyword, text, re.IGNORECASE) for keyword in keywords]
    return bool(found) and all(found)


def _frequency(text: str, *, keyword: str, frequency: int, relation: str) -> bool:
    found = re.findall(keyword.strip(), text, re.IGNORECASE)
    return bool(keyword) and compared(len(found), relation, frequency)


def _forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> bool:
    found = [re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in forbidden_words]
    return bool(found) and not any(found)


def _letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    letter = letter.lower()
    if len(letter) != 1 or not "a" <= letter <= "z":
        return False
    return compared(text.lower().count(letter), let_relation, let_frequency)


def _response_language(text: str, *, language: str) -> bool:
    return is_in_language(text, language)


def _number_sentences(text: str, *, num_sentences: int, relation: str) -> bool:
    return compared(len(sentences(text)), relation, num_sentences)


def _number_paragraphs(text: str, *, num_paragraphs: int) -> bool:
    return divided_paragraphs(text, r"\s?\*\*\*\s?") == num_paragraphs


def _number_words(text: str, *, num_words: int, relation: str) -> bool:
    return compared(len(words(text)), relation, num_words)


def _nth_paragraph_first_word(
    text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    paragraphs = text.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if not 1 <= nth_paragraph <= count or count != num_paragraphs:
        return False
    start = paragraphs[nth_paragraph - 1].split()
    if not start:
        return False
    word = start[0].lstrip("'").lstrip('"').lower()
    end = next((place for place, letter in enumerate(word) if letter in _WORD_ENDS), len(word))
    return word[:end] == first_word.lower()


def _number_placeholders(text: str, *, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", text)) >= num_placeholders


def _postscript(text: str, *, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    pattern = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(marker, marker.lower())
    return re.search(pattern, text.lower()) is not None


def _number_bullet_lists(text: str, *, num_bullets: int) -> bool:
    # white space before a mark may span lines, so that a mark is found once
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def _constrained_response(text: str) -> bool:
    return any(option in text for option in _OPTIONS)


def _number_highlighted_sections(text: str, *, num_highlights: int) -> bool:
    single = re.findall(r"\*[^\n\*]*\*", text)
    double = re.findall(r"\*\*[^\n\*]*\*\*", text)
    return sum(bool(part.strip("*").strip()) for part in (*single, *double)) >= num_highlights


def _multiple_sections(text: str, *, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"\s?{section_spliter.strip()}\s?\d+\s?", text)) >= num_sections


def _json_format(text: str) -> bool:
    text = text.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    try:
        parse_json(text.removesuffix("```").strip())
    except ValueError:
        return False
    return True


def _title(text: str) -> bool:
    return any(t.lstrip("<").rstrip(">").strip() for t in re.findall(r"<<[^\n]+>>", text))


def _two_responses(text: str) -> bool:
    parts = text.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    given = [part.strip() for part in parts if part.strip()]
    return len(given) == 2 and given[0] != given[1]


def _repeat_prompt(text: str, *, prompt_to_repeat: str) -> bool:
    repeated = prompt_to_repeat.strip().lower()
    return bool(prompt_to_repeat) and text.strip().lower().startswith(repeated)


def _end_checker(text: str, *, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _quotation(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _capital_word_frequency(text: str, *, capital_frequency: int, capital_relation: str) -> bool:
    capitals = sum(token.isupper() for token in tokens(text))
    return compared(capitals, capital_relation, capital_frequency)


def _english_capital(text: str) -> bool:
    return text.isupper() and is_in_language(text, "en")


def _english_lowercase(text: str) -> bool:
    return text.islower() and is_in_language(text, "en")


def _no_comma(text: str) -> bool:
    return "," not in text


IFEVAL: dict[str, Callable[..., bool]] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _response_language,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_words": _number_words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
    "detectable_content:number_placeholders": _number_placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _number_bullet_lists,
    "detectable_format:constrained_response": _constrained_response,
    "detectable_format:number_highlighted_sections": _number_highlighted_sections,
    "detectable_format:multiple_sections": _multiple_sections,
    "detectable_format:json_format": _json_format,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end_checker,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_word_frequency,
    "change_case:english_capital": _english_capital,
    "change_case:english_lowercase": _english_lowercase,
    "punctuation:no_comma": _no_comma,
}
"""Id of an instruction -> the check, which takes the text and the row's arguments by name."""
