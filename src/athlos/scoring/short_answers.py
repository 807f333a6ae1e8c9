"""Short answers to questions of fact, compared as HotpotQA's and NeMo Skills' metrics do.

The semantics are those of NeMo Gym's ``hotpotqa_qa`` verifier, whose normalisation is that of the
SQuAD and HotpotQA evaluation scripts. Nothing raises for anything a model may write; time is linear
in the length of the text.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator

from athlos.scoring.json_text import brace_groups, fenced_objects, parse_json
from athlos.scoring.normalize import collapse

__all__ = [
    "contains_answer",
    "exact_match",
    "json_answer",
    "surface_forms",
    "token_f1",
    "unreliable",
]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_WHOLE_ANSWERS = frozenset({"yes", "no", "noanswer"})

_CARDINALS = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
]  # fmt: skip
_DIGITS = {word: str(number) for number, word in enumerate(_CARDINALS, start=1)} | {
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th",
    "nineteenth": "19th", "twentieth": "20th", "twenty-first": "21st",
}  # fmt: skip
_NUMBER_WORDS = {digits: word for word, digits in _DIGITS.items()}

_SPACES = "\u00a0\u2002\u2003\u2009\u200a\u202f"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015"
_PLAIN = str.maketrans(
    dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_HYPHENS, "-")
    | {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
)
_SPACE_RUN = re.compile(" {2,}")
_PARENTHESES = re.compile(r"\s*\([^)]*\)\s*")
_IN_PARENTHESES = re.compile(r"\(([^)]+)\)")
_THOUSANDS = re.compile(r"(\d),(?=\d{3})")
_ABBREVIATION_DOT = re.compile(r"(?<!\d)\.(?!\d)")
_ARTICLES = ("the ", "a ", "an ")

_SHORT_FORM = 4
_LONG_ANSWER = 80
_LATEST_START = 40
_LONGEST_RELIABLE = 40
_SHORTEST_FORM = 3
_FUNCTION_WORDS = frozenset({
    "the", "a", "an", "of", "in", "on", "at", "for", "and", "or", "to", "by", "is", "was", "are",
    "were", "be", "been", "with", "from", "that", "this", "it", "its", "his", "her", "my", "our",
    "their", "no", "not", "but", "if", "as", "into", "about", "than", "then",
})  # fmt: skip


def json_answer(text: str) -> str:
    """The ``answer`` of the last JSON object that has one, fenced ones first; else the whole text.

    An answer that is no string is written as Python prints it. Spaces around the text go.
    """
    text = text.strip()
    for candidates in (fenced_objects(text), brace_groups(text)):
        for candidate in reversed(list(candidates)):
            try:
                value = parse_json(candidate)
                if isinstance(value, dict) and "answer" in value:
                    return str(value["answer"])
            except (ValueError, RecursionError):
                continue
    return text


def _normalized(text: str) -> str:
    """Lower case, without punctuation and articles, single spaces."""
    return collapse(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)))


def exact_match(expected_answer: str, answer: str) -> float:
    """1.0 if the two are the same but for case, punctuation, articles and spacing, else 0.0.

    An answer of which nothing is left then earns 0.0.
    """
    answer = _normalized(answer)
    return float(bool(answer) and answer == _normalized(expected_answer))


def token_f1(expected_answer: str, answer: str) -> float:
    """F1 of the words that the two share, after normalisation.

    ``yes`` and ``no`` count only if they are the whole of both.
    """
    answer, expected = _normalized(answer), _normalized(expected_answer)
    if answer != expected and (answer in _WHOLE_ANSWERS or expected in _WHOLE_ANSWERS):
        return 0.0
    found, wanted = answer.split(), expected.split()
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted)) if shared else 0.0


def surface_forms(expected_answer: str) -> list[str]:
    """The forms in which an expected answer may be written, itself among them, in order.

    Without its article; without quotation marks; without what stands in parentheses, or only that;
    numbers up to twenty (and a few ordinals) as digits or words; without thousands commas; without
    a final punctuation mark; without the full stops of abbreviations; hyphens as spaces; ``&`` for
    ``and`` and back. Forms of fewer than three characters do not count, but for numbers.
    """
    forms = set(_forms(expected_answer))
    forms |= {_without_article(form) for form in forms}
    tidy = {collapse(form) for form in forms}
    original = expected_answer.strip()
    return sorted(
        form
        for form in tidy
        if form and (len(form) >= _SHORTEST_FORM or form == original or form.isdigit())
    )


def _without_article(text: str) -> str:
    article = next((a for a in _ARTICLES if text.lower().startswith(a)), "")
    return text[len(article) :]


def _forms(gold: str) -> Iterator[str]:
    yield gold
    yield _without_article(gold)
    yield re.sub('["\u201c\u201d]', "", gold).strip()
    if "(" in gold:
        yield collapse(_PARENTHESES.sub(" ", gold))
        yield from (inner for inner in map(str.strip, _IN_PARENTHESES.findall(gold)) if inner[1:])
    word = gold.lower().strip()
    yield _DIGITS.get(word, gold)
    yield _NUMBER_WORDS.get(word, gold)
    yield _THOUSANDS.sub(r"\1", gold)
    if gold.endswith(tuple(".,;:!?")):
        yield gold[:-1].rstrip()
    dotless = _ABBREVIATION_DOT.sub("", gold)
    if len(dotless) > 1:
        yield dotless
    if not gold.startswith("-"):
        yield gold.replace("-", " ")
    yield gold.replace(" & ", " and ")
    place = gold.lower().find(" and ")
    if place >= 0:
        yield f"{gold[:place]} & {gold[place + len(' and ') :]}"


def _plain(text: str) -> str:
    """Lower case; simple spaces, hyphens and quotation marks."""
    return _SPACE_RUN.sub(" ", text.lower().translate(_PLAIN)).strip()


def contains_answer(forms: Iterable[str], answer: str, *, strict: bool = True) -> float:
    """1.0 if the answer contains one of the forms, else 0.0.

    Args:
        forms: Of `surface_forms`.
        answer: The answer, not a whole conversation.
        strict: Whether a form of up to four characters must stand as a word, and in an answer of
            more than 80 characters a form must begin among the first 41.
    """
    answer = _plain(answer)
    for form in map(_plain, forms):
        place = answer.find(form) if form else -1
        if place < 0:
            continue
        if strict:
            word = rf"(?<!\w){re.escape(form)}(?!\w)"
            if len(form) <= _SHORT_FORM and not re.search(word, answer):
                continue
            if len(answer) > _LONG_ANSWER and place > _LATEST_START:
                continue
        return 1.0
    return 0.0


def unreliable(expected_answer: str) -> str:
    """Why an expected answer is hard to find in another text, or "".

    ``gt_too_long`` for more than 40 characters; ``multi_word_name`` for a name of three to six
    words, which has many forms.
    """
    if len(expected_answer) > _LONGEST_RELIABLE:
        return "gt_too_long"
    words = expected_answer.strip().rstrip(".").split()
    names = [w for w in words if w[0].isupper() and w.lower() not in _FUNCTION_WORDS]
    if len(words) in (3, 4) and len(names) == len(words):
        return "multi_word_name"
    return "multi_word_name" if len(words) in (5, 6) and len(names) >= 3 else ""
