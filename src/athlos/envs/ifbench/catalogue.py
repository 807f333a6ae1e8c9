"""What the generated tasks ask for: instructions of IFBench, in our words."""

from collections.abc import Callable
from random import Random

from athlos.envs.directives import FILLER, Catalogue, Directive, Draft

__all__ = ["CATALOGUE"]

_WORDS = [
    "lantern", "harbour", "compass", "meadow", "pencil", "saddle", "thunder", "velvet", "anchor",
    "basket", "candle", "dragon", "engine", "forest", "garlic", "hammer", "island", "jacket",
    "kitten", "ladder", "marble", "needle", "orchid", "pepper", "ribbon", "silver", "tunnel",
]  # fmt: skip
_NAMES = ["Emma", "Liam", "Olivia", "Noah", "Mason", "Ethan", "Grace", "Owen", "Jacob", "Claire"]
_CONJUNCTIONS = ["and", "but", "for", "nor", "or", "so", "yet"]


def _add(text: str) -> Callable[[Draft], object]:
    return lambda draft: draft.blocks.append(text)


def _only(text: str) -> Callable[[Draft], object]:
    def build(draft: Draft) -> None:
        draft.blocks[:] = [text]
        draft.first = draft.last = ""

    return build


def _keywords(rng: Random, _: str) -> Directive:
    words, times = rng.sample(_WORDS, 5), ("once", "twice", "3 times", "5 times", "7 times")
    said = ", ".join(f'"{word}" {count}' for word, count in zip(words, times, strict=True))
    text = " ".join(
        f"Mind {word}." for word, n in zip(words, (1, 2, 3, 5, 7), strict=True) for _ in range(n)
    )
    arguments = {f"keyword{n}": word for n, word in enumerate(words, start=1)}
    return Directive("count:keywords_multiple", f"Use {said}.", _add(text), arguments)


def _range(rng: Random, _: str) -> Directive:
    low = rng.randint(6, 20) * 10
    text = " ".join(f"{FILLER[n % len(FILLER)]}." for n in range(low // 5))
    words = " ".join(text.split()[: low + 3])
    return Directive(
        "count:word_count_range",
        f"Write {low} to {low + 15} words.",
        _add(words),
        {"min_words": low, "max_words": low + 15},
    )


def _unique(rng: Random, _: str) -> Directive:
    count = rng.randint(60, 90)
    names = " ".join(f"{_WORDS[n % len(_WORDS)]}{n}" for n in range(count))
    return Directive(
        "count:unique_word_count",
        f"Use {count} different words or more.",
        _add(names),
        {"N": count},
    )


def _conjunctions(rng: Random, _: str) -> Directive:
    count = rng.randint(4, 7)
    return Directive(
        "count:conjunctions",
        f"Use at least {count} different coordinating conjunctions.",
        _add(" it rained ".join(_CONJUNCTIONS)),
        {"small_n": count},
    )


def _names(rng: Random, _: str) -> Directive:
    count = rng.randint(2, 5)
    return Directive(
        "count:person_names",
        f"Mention {count} or more different people by common English first names.",
        _add(" met ".join(_NAMES) + "."),
        {"N": count},
    )


def _numbers(rng: Random, _: str) -> Directive:
    count = rng.randint(11, 19)  # a few stand in many a text
    return Directive(
        "count:numbers",
        f"Have exactly {count} numbers in it, in digits.",
        _add(" ".join(f"Take {n} more." for n in range(11, 11 + count))),
        {"N": count},
    )


def _punctuation(_: Random, __: str) -> Directive:
    return Directive(
        "count:punctuation",
        "Use every common punctuation mark (comma, semicolon, colon, full stop, question mark, "
        "exclamation mark), and a question mark with an exclamation mark right behind it.",
        _add("Well, now; so: yes. No? Oh! Really?!"),
    )


def _pronouns(rng: Random, _: str) -> Directive:
    count = rng.randint(8, 20)
    return Directive(
        "count:pronouns",
        f"Use {count} pronouns or more.",
        _add(" ".join(["She told him about it."] * count)),
        {"N": count},
    )


def _parentheses(_: Random, __: str) -> Directive:
    return Directive(
        "format:parentheses",
        "Nest brackets of any kind five levels deep.",
        _add("It goes (down [and {down (and [down])}])."),
    )


def _list(rng: Random, _: str) -> Directive:
    mark = rng.choice(["SEPARATOR", "!?!?", "..."])
    names = {"SEPARATOR": 'the capitalised word "separator"', "!?!?": "two interrobangs"}
    return Directive(
        "format:list",
        f"Answer with a list of items, {names.get(mark, 'three full stops')} before each of them.",
        _add("\n".join(f"{mark} {word}" for word in _WORDS[:4])),
        {"sep": mark},
    )


def _thesis(_: Random, __: str) -> Directive:
    return Directive(
        "format:thesis",
        "Begin with a thesis in italics, set with the HTML element for that, and go on after it.",
        lambda draft: setattr(draft, "first", "<i>This matters.</i>"),
    )


def _bullets(_: Random, __: str) -> Directive:
    return Directive(
        "format:no_bullets_bullets",
        "Write two sentences or more, then two or more bullet points with asterisks, and no more.",
        _only(f"{FILLER[0]}. {FILLER[1]}.\n* {FILLER[2]}\n* {FILLER[3]}"),
    )


def _template(_: Random, __: str) -> Directive:
    return Directive(
        "format:output_template",
        'Have three parts. The labels of the first two are "My" and then "Answer" or "Conclusion"; '
        'that of the third is "Future" and then "Outlook". A colon follows each label.',
        _add("My Answer: yes. My Conclusion: go. Future Outlook: fine."),
    )


def _sentence_keyword(rng: Random, _: str) -> Directive:
    place, word = rng.randint(3, 7), rng.choice(_WORDS)
    said = [f"{FILLER[n % len(FILLER)]}." for n in range(place - 1)]
    text = " ".join([*said, f"Look for the {word}."])
    return Directive(
        "sentence:keyword",
        f'Use the word "{word}" in sentence number {place}.',
        _only(text),
        {"word": word, "N": place},
    )


def _position(rng: Random, _: str) -> Directive:
    sentence, place, word = rng.randint(2, 4), rng.randint(3, 8), rng.choice(_WORDS)
    said = [f"{FILLER[n]}." for n in range(sentence - 1)]
    text = " ".join([*said, *["on"] * (place - 1), word, "goes."])
    return Directive(
        "words:keywords_specific_position",
        f'Word number {place} of sentence number {sentence} must be "{word}".',
        _only(text),
        {"keyword": word, "n": sentence, "m": place},
    )


def _both_ends(rng: Random, _: str) -> Directive:
    word = rng.choice(_WORDS)
    return Directive(
        "words:words_position",
        f'The second word, and the last word before the final full stop, must be "{word}".',
        _only(f"The {word} comes back to the {word}."),
        {"keyword": word},
    )


CATALOGUE: Catalogue = {
    "words": (_keywords, _unique, _names, _pronouns, _conjunctions),
    "length": (_range, _numbers),
    "marks": (_punctuation, _parentheses, _list, _thesis, _template),
    "order": (_sentence_keyword, _position, _both_ends, _bullets),
}
