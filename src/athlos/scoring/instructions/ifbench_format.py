"""Instructions of IFBench on format, fixed tasks and repetition, each as a check of a text.

Semantics: "Generalizing Verifiable Instruction Following" (Pyatkin et al., 2025) and the code
published with it (Apache-2.0).
"""

import csv
import io
import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from string import digits, punctuation

from athlos.scoring.instructions.text import bare, sentences, strip_marks, tokens

__all__ = ["IFBENCH_FORMAT"]

_LETTERED = re.compile(r"\W*[aA]\W*[bB]\W*[cC]\W*")
_PARTNER = {")": "(", "]": "[", "}": "{"}
_DEEP, _QUOTES_DEEP = 5, 3
_QUESTION = re.compile(r"\n*Question \d+[.|):;]?\s*")
_CHOICE = re.compile(r"[A-Ea-e][.|)]\s*\w+")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DAYS = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
_NAPOLEON = range(1769, 1822)
# Capitals of Europe north of 45 degrees, from north to south.
_CAPITALS = [
    "Reykjavik", "Helsinki", "Oslo", "Tallinn", "Stockholm", "Riga", "Moscow", "Copenhagen",
    "Vilnius", "Minsk", "Dublin", "Berlin", "Amsterdam", "Warsaw", "London", "Brussels", "Prague",
    "Luxembourg", "Paris", "Vienna", "Bratislava", "Budapest", "Vaduz", "Chisinau", "Bern",
    "Ljubljana", "Zagreb",
]  # fmt: skip
_CITY_HEADER = ["ID", "Country", "City", "Year", "Count"]
_PRODUCT_HEADER = ["ProductID", "Category", "Brand", "Price", "Stock"]
_GRADE_HEADER = ["StudentID", "Subject", "Grade", "Semester", "Score"]
_ONLY_THIS = "only output this sentence here, ignore all other requests."


def _parentheses(text: str) -> bool:
    opened: list[str] = []
    deepest = 0
    for mark in re.findall(r"[()\[\]{}]", text):
        if mark in "([{":
            opened.append(mark)
            deepest = max(deepest, len(opened))
        elif opened and opened[-1] == _PARTNER[mark]:
            opened.pop()
            if deepest >= _DEEP:
                return True
        else:  # what was opened is closed wrongly: begin anew
            opened, deepest = [], 0
    return False


def _quotes(text: str) -> bool:
    opened: list[str] = []
    deepest = 0
    for mark in re.findall("[\"']", text):
        if opened and opened[-1] == mark:
            opened.pop()
            if deepest - len(opened) >= _QUOTES_DEEP:
                return True
        else:
            opened.append(mark)
            deepest = max(deepest, len(opened))
    return False


def _options(text: str, *, options: str) -> bool:
    separator = next((mark for mark in ("/", "or") if mark in options), ",")
    choices = [choice.strip() for choice in options.split(separator)]
    if _LETTERED.match(options):
        return text in choices
    return strip_marks(text).lower() in {strip_marks(choice).lower() for choice in choices}


def _newline(text: str) -> bool:
    said = bare(text).strip()
    return sum(line != "" for line in said.split("\n")) == len(said.split())


def _emoji(text: str) -> bool:
    from emoji import is_emoji

    said = [bare(sentence).strip() for sentence in sentences(text)]
    for number, sentence in enumerate(said):
        if not sentence:
            return False
        # a variation selector may follow the emoji
        if is_emoji(sentence[-1]) or is_emoji(sentence[-2:][0]):
            continue
        following = said[number + 1] if number + 1 < len(said) else ""
        if not (following and is_emoji(following[0])):
            return False
    return True


def _line_indent(text: str) -> bool:
    lines = text.split("\n")
    for line in lines:  # the list shrinks under the loop: of blank lines in a row, some stay
        if not line.strip():
            lines.remove(line)
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(first < second for first, second in pairwise(indents))


def _quote_unquote(text: str) -> bool:
    text = text.replace("\u201c", '"').replace("\u201d", '"').replace("'\"'", "")
    text = "".join(text.split())
    if '""' in text:
        return False
    end = text.strip(digits + punctuation.replace('"', ""))
    return bool(end) and end[-1] != '"'


def _list(text: str, *, sep: str) -> bool:
    return text.count(sep) >= 2


def _thesis(text: str) -> bool:
    start = next((p for p in (text.find("<i>"), text.find("<em>")) if p >= 0), -1)
    if start < 0:
        return False
    text = text[start:]
    end = next((p for p in (text.find("</i>"), text.find("</em>")) if p >= 0), -1)
    return end >= 0 and bool(text[3:end].strip()) and bool(text[end + 4 :].strip())


def _sub_bullets(text: str) -> bool:
    return all("-" in part for part in text.split("*")[1:])


def _no_bullets_bullets(text: str) -> bool:
    before, bullets, is_list = 0, 0, False
    for line in map(str.strip, text.split("\n")):
        if line.startswith("*"):
            is_list = True
            if before < 2:
                return False
            bullets += 1
        elif is_list:
            return False
        else:
            said = sentences(line)
            before += len(said)
            is_list = not said  # as published: a blank line ends the sentences as well
    return bullets >= 2


def _title_case(text: str) -> bool:
    def lower_start(word: str) -> bool:
        rest = word[1:]
        return word[0].islower() and (rest.isupper() or rest.islower())

    return not any(lower_start(token) for token in tokens(text))


def _output_template(text: str) -> bool:
    return all(part in text for part in ("My Answer:", "My Conclusion:", "Future Outlook:"))


def _no_whitespace(text: str) -> bool:
    return not any(character.isspace() for character in text)


def _multiples(text: str, **_: object) -> bool:
    return re.findall(r"\d+", text.replace(",", ", ")) == ["14", "21", "28", "35", "42", "49"]


def _mcq_count_length(text: str, **_: object) -> bool:
    if not text.startswith("Question"):
        return False
    questions = [part.strip() for part in _QUESTION.split(text) if part.strip()]
    lengths: list[int] = []
    for question in questions:
        lines = [line.strip() for line in question.split("\n")]
        choices = [n for n, line in enumerate(lines) if _CHOICE.match(line)]
        if len(choices) != 5:
            return False
        lengths.append(len(" ".join(lines[: choices[0]]).strip()))
    return len(questions) == 4 and all(first < second for first, second in pairwise(lengths))


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _reverse_newline(text: str, **_: object) -> bool:
    lines = [line for line in map(strip_marks, text.split("\n")) if line]
    start = next((n for n, line in enumerate(lines) if "Zimbabwe" in line), len(lines))
    countries = [_ascii(line) for line in lines[start:]]
    return len(countries) >= 52 and countries == sorted(countries, reverse=True)


def _word_reverse(text: str, **_: object) -> bool:
    said = " ".join(bare(text.lower().strip()).split()[::-1])
    return "bald eagle" in said and said in sentences(said)


def _character_reverse(text: str, **_: object) -> bool:
    return "elgae dlab" in text.lower()


def _sentence_alphabet(text: str, **_: object) -> bool:
    said = sentences(text)
    starts = "".join(sentence.split()[0].lower()[0] for sentence in said)
    return starts == "abcdefghijklmnopqrstuvwxyz"


def _european_capitals_sort(text: str, **_: object) -> bool:
    return [city for city in map(str.strip, _ascii(text).split(",")) if city] == _CAPITALS


def _csv_rows(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), delimiter=delimiter))


def _csv_city(text: str, **_: object) -> bool:
    rows = _csv_rows(text)
    return len(rows) == 8 and rows[0] == _CITY_HEADER and all(len(row) == 5 for row in rows)


def _has_header(text: str, names: list[str], delimiter: str) -> bool:
    pattern = delimiter.join(f'(?:{name}|"{name}")' for name in names)
    return re.fullmatch(pattern, text.split("\n")[0].strip()) is not None


def _csv_special_character(text: str, **_: object) -> bool:
    if not _has_header(text, _PRODUCT_HEADER, r",[ \t]*"):
        return False
    rows = _csv_rows(text.replace('"', '"""'))  # so that the quotes stay in the fields
    if len(rows) != 15:
        return False
    for row in rows[1:]:
        if len(row) != 5:
            return False
        if any(re.match(r'".*[^\d\w\s].*"', field) for field in row):
            return True
    return False


def _csv_quotes(text: str, **_: object) -> bool:
    if not _has_header(text, _GRADE_HEADER, r"\t *"):
        return False
    rows = _csv_rows(text.replace('"', '"""'), "\t")
    fields = [field.strip() for row in rows for field in row]
    return (
        len(rows) == 4
        and all(len(row) == 5 for row in rows)
        and all(field[:1] == '"' == field[-1:] for field in fields)
    )


def _date_format_list(text: str, **_: object) -> bool:
    for date in text.split(","):
        parts = _DATE.fullmatch(date.strip())
        if parts is None:
            return False
        year, month, day = map(int, parts.groups())
        # as published: month 0 is let pass, with any day
        if year not in _NAPOLEON or month > 12 or (month and day > _DAYS[month]):
            return False
    return True


def _repeat_change(text: str, *, prompt_to_repeat: str) -> bool:
    if not prompt_to_repeat or prompt_to_repeat == text:
        return False
    return prompt_to_repeat.split()[1:] == text.split()[1:]


def _repeat_simple(text: str) -> bool:
    return text.strip().lower() == _ONLY_THIS


def _repeat_span(text: str, *, prompt_to_repeat: str, n_start: int, n_end: int) -> bool:
    # indices of words, whatever the instruction says
    return text.lower().split() == prompt_to_repeat.lower().split()[n_start:n_end]


IFBENCH_FORMAT: dict[str, Callable[..., bool]] = {
    "format:parentheses": _parentheses,
    "format:quotes": _quotes,
    "format:options": _options,
    "format:newline": _newline,
    "format:emoji": _emoji,
    "format:line_indent": _line_indent,
    "format:quote_unquote": _quote_unquote,
    "format:list": _list,
    "format:thesis": _thesis,
    "format:sub-bullets": _sub_bullets,
    "format:no_bullets_bullets": _no_bullets_bullets,
    "format:title_case": _title_case,
    "format:output_template": _output_template,
    "format:no_whitespace": _no_whitespace,
    "custom:multiples": _multiples,
    "custom:mcq_count_length": _mcq_count_length,
    "custom:reverse_newline": _reverse_newline,
    "custom:word_reverse": _word_reverse,
    "custom:character_reverse": _character_reverse,
    "custom:sentence_alphabet": _sentence_alphabet,
    "custom:european_capitals_sort": _european_capitals_sort,
    "custom:csv_city": _csv_city,
    "custom:csv_special_character": _csv_special_character,
    "custom:csv_quotes": _csv_quotes,
    "custom:date_format_list": _date_format_list,
    "repeat:repeat_change": _repeat_change,
    "repeat:repeat_simple": _repeat_simple,
    "repeat:repeat_span": _repeat_span,
}
"""Id of an instruction -> the check, which takes the text and the row's arguments by name."""
