"""What the generated tasks ask for: instructions of IFEval and of its extensions, in our words."""

from collections.abc import Callable
from random import Random
from typing import Any

from athlos.envs.directives import FILLER, Catalogue, Directive, Draft

__all__ = ["CATALOGUE"]

_WORDS = [
    "lantern", "harbour", "compass", "meadow", "pencil", "saddle", "thunder", "velvet", "anchor",
    "basket", "candle", "dragon", "engine", "forest", "garlic", "hammer", "island", "jacket",
    "kitten", "ladder", "marble", "needle", "orchid", "pepper", "ribbon", "silver", "tunnel",
]  # fmt: skip
_ENDINGS = [
    "That is all there is to say.", "Now it is your turn.", "Thank you for reading this far.",
    "More will follow next week.", "And so the day ended well.",
]  # fmt: skip


def _add(text: str) -> Callable[[Draft], object]:
    return lambda draft: draft.blocks.append(text)


def _shape(separator: str, blocks: list[str]) -> Callable[[Draft], object]:
    def build(draft: Draft) -> None:
        draft.separator = separator
        draft.blocks[:] = [*blocks[:-1], "\n".join([blocks[-1], *draft.blocks])]

    return build


def _set(name: str, value: Any) -> Callable[[Draft], object]:
    return lambda draft: setattr(draft, name, value)


# words


def _existence(rng: Random, _: str) -> Directive:
    first, second = rng.sample(_WORDS, 2)
    return Directive(
        "keywords:existence",
        f'Use the words "{first}" and "{second}".',
        _add(f"A {first} and a {second} belong here."),
        {"keywords": [first, second]},
    )


def _frequency(rng: Random, _: str) -> Directive:
    word, count = rng.choice(_WORDS), rng.randint(3, 6)
    return Directive(
        "keywords:frequency",
        f'The word "{word}" must occur at least {count} times.',
        _add(" ".join(f"One more {word}." for _ in range(count))),
        {"keyword": word, "frequency": count, "relation": "at least"},
    )


def _forbidden(_: Random, topic: str) -> Directive:
    words = [*[word for word in topic.split() if len(word) > 3][:1], "because", "very"]
    said = ", ".join(f'"{word}"' for word in words)
    return Directive(
        "keywords:forbidden_words",
        f"Do without the words {said}.",
        lambda _: None,
        {"forbidden_words": words},
    )


def _letter(rng: Random, _: str) -> Directive:
    letter, count = rng.choice("jkqxz"), rng.randint(5, 9)
    return Directive(
        "keywords:letter_frequency",
        f'The letter "{letter}" must occur at least {count} times.',
        _add(f"Say {letter * count} aloud."),
        {"letter": letter, "let_frequency": count, "let_relation": "at least"},
    )


def _once(rng: Random, _: str) -> Directive:
    word = rng.choice(_WORDS)
    said = f'Use the word "{word}" exactly once.'
    return Directive("keywords:word_once", said, _add(f"Here is a {word}."), {"keyword": word})


# length


def _sentences(rng: Random, _: str) -> Directive:
    count = rng.randint(7, 12)
    return Directive(
        "length_constraints:number_sentences",
        f"Write at least {count} sentences.",
        _add(" ".join(f"{FILLER[n % len(FILLER)]}." for n in range(count))),
        {"num_sentences": count, "relation": "at least"},
    )


def _words(rng: Random, _: str) -> Directive:
    count = rng.randint(8, 24) * 10
    return Directive(
        "length_constraints:number_words",
        f"Write at least {count} words.",
        _add(" ".join(f"{FILLER[n % len(FILLER)]}." for n in range(count // 6 + 1))),
        {"num_words": count, "relation": "at least"},
    )


def _letters(rng: Random, _: str) -> Directive:
    count = rng.randint(4, 9) * 100
    return Directive(
        "letters:letter_counting",
        f"Write at least {count} letters in all.",
        _add(" ".join(f"{FILLER[n % len(FILLER)]}." for n in range(count // 24 + 1))),
        {"N": count, "relation": "at least"},
    )


# layout


def _paragraphs(rng: Random, _: str) -> Directive:
    count = rng.randint(2, 5)
    return Directive(
        "length_constraints:number_paragraphs",
        f"Write exactly {count} paragraphs and put a line of three asterisks between them.",
        _shape("\n***\n", [f"{FILLER[n]}." for n in range(count)]),
        {"num_paragraphs": count},
    )


def _nth_paragraph(rng: Random, _: str) -> Directive:
    count, word = rng.randint(2, 5), rng.choice(_WORDS)
    place = rng.randint(1, count)
    blocks = [f"{FILLER[n]}." for n in range(count)]
    blocks[place - 1] = f"{word} in hand we go on."
    return Directive(
        "length_constraints:nth_paragraph_first_word",
        f"Write exactly {count} paragraphs with a blank line between them and no other blank line; "
        f'paragraph {place} begins with the word "{word}".',
        _shape("\n\n", blocks),
        {"num_paragraphs": count, "nth_paragraph": place, "first_word": word},
    )


def _bullets(rng: Random, _: str) -> Directive:
    count = rng.randint(3, 6)
    return Directive(
        "detectable_format:number_bullet_lists",
        f"Have exactly {count} bullet points, each on a line that begins with an asterisk and a "
        "space.",
        _shape("\n", [f"* {FILLER[n]}." for n in range(count)]),
        {"num_bullets": count},
    )


def _sections(rng: Random, _: str) -> Directive:
    count, word = rng.randint(2, 4), rng.choice(["Section", "Part", "Chapter"])
    return Directive(
        "detectable_format:multiple_sections",
        f'Have {count} sections. Each begins with the word "{word}" and its number.',
        _shape("\n", [f"{word} {n + 1}\n{FILLER[n]}." for n in range(count)]),
        {"section_spliter": word, "num_sections": count},
    )


def _two_responses(_: Random, __: str) -> Directive:
    return Directive(
        "combination:two_responses",
        "Give two different answers with six asterisks in a row between them.",
        _shape("\n******\n", [f"{FILLER[0]}.", f"{FILLER[1]}."]),
    )


# marks


def _placeholders(rng: Random, _: str) -> Directive:
    count = rng.randint(3, 6)
    names = ["name", "date", "place", "time", "price", "number"][:count]
    return Directive(
        "detectable_content:number_placeholders",
        f"Leave at least {count} blanks to fill in, each a word in square brackets.",
        _add(" ".join(f"Insert [{name}]." for name in names)),
        {"num_placeholders": count},
    )


def _highlights(rng: Random, _: str) -> Directive:
    count = rng.randint(2, 5)
    return Directive(
        "detectable_format:number_highlighted_sections",
        f"Set at least {count} passages in Markdown italics, with asterisks.",
        _add(" ".join(f"Mind *this point {n}*." for n in range(count))),
        {"num_highlights": count},
    )


def _title(_: Random, __: str) -> Directive:
    return Directive(
        "detectable_format:title",
        "Begin with a title in double angle brackets.",
        lambda draft: setattr(draft, "first", f"{draft.first}<<About it>>".strip()),
    )


# ends


def _end(rng: Random, _: str) -> Directive:
    phrase = rng.choice(_ENDINGS)
    return Directive(
        "startend:end_checker",
        f'The last words must be "{phrase}", with nothing behind them.',
        _set("last", phrase),
        {"end_phrase": phrase},
    )


def _postscript(_: Random, __: str) -> Directive:
    return Directive(
        "detectable_content:postscript",
        "Close with a postscript that begins with the usual two letters, a full stop behind each.",
        _set("last", "P.S. Bring a friend."),
        {"postscript_marker": "P.S."},
    )


def _last_word(rng: Random, _: str) -> Directive:
    word = rng.choice(_WORDS)
    return Directive(
        "last_word:last_word_answer",
        f'The last word must be "{word}".',
        _set("last", f"What remains is the {word}."),
        {"last_word": word},
    )


def _quotation(_: Random, __: str) -> Directive:
    return Directive(
        "startend:quotation",
        "Put the whole answer between double quotation marks.",
        _set("change", lambda text: f'"{text}"'),
    )


# spelling


def _lower(_: Random, __: str) -> Directive:
    return Directive(
        "change_case:english_lowercase",
        "Write in English and without any capital letter.",
        _set("change", str.lower),
    )


def _upper(_: Random, __: str) -> Directive:
    return Directive(
        "change_case:english_capital",
        "Write in English and in capital letters only.",
        _set("change", str.upper),
    )


def _no_comma(_: Random, __: str) -> Directive:
    return Directive("punctuation:no_comma", "Use no comma at all.", lambda _: None)


def _no_exclamation(_: Random, __: str) -> Directive:
    return Directive(
        "punctuation:punctuation_exclamation", "Use no exclamation mark.", lambda _: None
    )


CATALOGUE: Catalogue = {
    "words": (_existence, _frequency, _forbidden, _letter, _once),
    "length": (_sentences, _words, _letters),
    "layout": (_paragraphs, _nth_paragraph, _bullets, _sections, _two_responses),
    "marks": (_placeholders, _highlights, _title),
    "ends": (_end, _postscript, _last_word),
    "spelling": (_lower, _upper, _no_comma, _no_exclamation, _quotation),
}
