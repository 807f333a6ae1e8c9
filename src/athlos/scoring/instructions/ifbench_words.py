"""Instructions of IFBench on counts, ratios, words and sentences, each as a check of a text.

Semantics: "Generalizing Verifiable Instruction Following" (Pyatkin et al., 2025) and the code
published with it (Apache-2.0). What a row must give and does not is an error here, where that code
draws it at random. Whether a word is a verb is looked up in a list, where that code uses a tagger.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from string import ascii_lowercase

from athlos.scoring.instructions.text import (
    STOP_WORDS,
    bare,
    sentences,
    strip_marks,
    tokens,
    words,
)
from athlos.scoring.instructions.verbs import is_verb

__all__ = ["IFBENCH_WORDS"]

_CONJUNCTIONS = frozenset({"and", "but", "for", "nor", "or", "so", "yet"})
_NAMES = [
    "Emma", "Liam", "Sophia", "Jackson", "Olivia", "Noah", "Ava", "Lucas", "Isabella", "Mason",
    "Mia", "Ethan", "Charlotte", "Alexander", "Amelia", "Benjamin", "Harper", "Leo", "Zoe",
    "Daniel", "Chloe", "Samuel", "Lily", "Matthew", "Grace", "Owen", "Abigail", "Gabriel", "Ella",
    "Jacob", "Scarlett", "Nathan", "Victoria", "Elijah", "Layla", "Nicholas", "Audrey", "David",
    "Hannah", "Christopher", "Penelope", "Thomas", "Nora", "Andrew", "Aria", "Joseph", "Claire",
    "Ryan", "Stella", "Jonathan",
]  # fmt: skip
_PRONOUNS = frozenset({
    "i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves", "you", "your",
    "yours", "yourself", "yourselves", "he", "him", "his", "himself", "she", "her", "hers",
    "herself", "it", "its", "itself", "they", "them", "their", "theirs", "themselves",
})  # fmt: skip
_CONSONANTS = re.compile("[bcdfghjklmnpqrstvwxyz]{2}")
_JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
_TIMES = (1, 2, 3, 5, 7)


def _word_count_range(text: str, *, min_words: int, max_words: int) -> bool:
    return min_words <= len(words(text)) <= max_words


def _unique_word_count(text: str, *, N: int) -> bool:
    return len({strip_marks(word) for word in text.lower().split()}) >= N


def _stop_words(text: str, *, percentage: float) -> bool:
    found = words(text)
    stops = sum(word.lower() in STOP_WORDS for word in found)
    return bool(found) and stops / len(found) * 100 <= percentage


def _endings(text: str) -> tuple[int, int, int]:
    """How many sentences end in a full stop, a question mark, an exclamation mark."""
    said = sentences(text)
    stated, asked, exclaimed = (sum(s.endswith(mark) for s in said) for mark in ".?!")
    return stated, asked, exclaimed


def _sentence_type(text: str) -> bool:
    stated, asked, _ = _endings(text)
    return stated == 2 * asked


def _sentence_balance(text: str) -> bool:
    return len(set(_endings(text))) == 1


def _conjunctions(text: str, *, small_n: int) -> bool:
    # as they are written: "And" and "and" are two
    return len({w for w in text.split() if strip_marks(w).lower() in _CONJUNCTIONS}) >= small_n


def _person_names(text: str, *, N: int) -> bool:
    return sum(name in text for name in _NAMES) >= N


def _overlap(text: str, *, reference_text: str, percentage: float) -> bool:
    found, expected = (
        {body[n : n + 3] for n in range(len(body) - 2)} for body in (text, reference_text)
    )
    share = len(found & expected) / len(found) * 100 if found else 1000.0
    return percentage - 2 <= share <= percentage + 2


def _numbers(text: str, *, N: int) -> bool:
    return len(re.findall(r"\d+", bare(text))) == N


def _punctuation(text: str) -> bool:
    if not any(mark in text for mark in ("!?", "?!", "\u203d")):
        return False
    rest = text.replace("?!", "", 1) if "?!" in text else text.replace("!?", "", 1)
    return set(".,!?;:") <= set(rest)


def _pronouns(text: str, *, N: int) -> bool:
    found = bare(text.replace("/", " ").lower()).split()
    return sum(word in _PRONOUNS for word in found) >= N


def _words_japanese(text: str, *, N: int) -> bool:
    picked = (strip_marks(w) for place, w in enumerate(text.split(), start=1) if place % N == 0)
    return all(_JAPANESE.search(word) for word in picked if word and not word.isdigit())


def _keywords_multiple(
    text: str, *, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str
) -> bool:
    keywords = (keyword1, keyword2, keyword3, keyword4, keyword5)
    counts = (text.lower().count(keyword.strip().lower()) for keyword in keywords)
    return tuple(counts) == _TIMES


def _alphabet(text: str) -> bool:
    found = [word[0].lower() for word in bare(text).split()]
    places = [ascii_lowercase.find(letter) for letter in found]
    return min(places, default=-1) >= 0 and all(
        second == (first + 1) % 26 for first, second in pairwise(places)
    )


def _vowel(text: str) -> bool:
    return "\n" not in text.strip() and len(set(text.lower()) & set("aeiou")) <= 3


def _consonants(text: str) -> bool:
    return all(_CONSONANTS.search(word) for word in text.lower().split())


def _palindrome(text: str) -> bool:
    found = bare(text).lower().split()
    return sum(word == word[::-1] and len(word) >= 5 for word in found) >= 10


def _prime_lengths(text: str) -> bool:
    return all(_is_prime(len(word)) for word in bare(text).split())


def _is_prime(number: int) -> bool:
    return 2 <= number <= 97 and all(number % d for d in range(2, int(number**0.5) + 1))


def _repeats(text: str, *, small_n: int) -> bool:
    counts = Counter(bare(text.lower()).split())
    return max(counts.values(), default=0) <= small_n


def _start_verb(text: str) -> bool:
    found = tokens(text)
    return bool(found) and is_verb(found[0])


def _odd_even_syllables(text: str) -> bool:
    import syllapy  # type: ignore[import-untyped]

    odd = [syllapy.count(word) % 2 for word in bare(text).lower().split()]
    return all(first != second for first, second in pairwise(odd))


def _last_first(text: str) -> bool:
    said = [strip_marks(sentence).lower().split() for sentence in sentences(text)]
    return all(first and second and first[-1] == second[0] for first, second in pairwise(said))


def _paragraph_last_first(text: str) -> bool:
    lines = (strip_marks(line.strip().lower()).split() for line in text.split("\n"))
    return all(line[0] == line[-1] for line in lines if line)


def _no_consecutive(text: str) -> bool:
    return _all_differ(word[0] for word in bare(text.lower()).split())


def _all_differ(letters: Iterable[str]) -> bool:
    return all(first != second for first, second in pairwise(letters))


def _specific_position(text: str, *, keyword: str, n: int, m: int) -> bool:
    said = sentences(text)
    if not 1 <= n <= len(said):
        return False
    found = tokens(said[n - 1])
    return 1 <= m <= len(found) and found[m - 1] == keyword.strip()


def _words_position(text: str, *, keyword: str) -> bool:
    found = tokens(text)
    return len(found) >= 2 and found[1] == found[-2] == keyword.strip()


def _alliteration_increment(text: str) -> bool:
    return _grows(_alliteration(sentence.lower().split()) for sentence in sentences(text))


def _alliteration(said: Sequence[str]) -> int:
    """How many words of a sentence begin as one beside them does, runs apart counted apart."""
    starts = [word[0] for word in (re.sub(r"^[\W_]+", "", w, flags=re.ASCII) for w in said) if word]
    count, running = 0, False
    for first, second in pairwise(starts):
        count += (1 if running else 2) if first == second else 0
        running = first == second
    return count


def _grows(counts: Iterable[int]) -> bool:
    return all(first < second for first, second in pairwise((-1, *counts)))


def _increment(text: str, *, small_n: int) -> bool:
    counts = [len(bare(sentence).split()) for sentence in sentences(text)]
    return bool(counts) and all(second - first == small_n for first, second in pairwise(counts))


def _keyword(text: str, *, word: str, N: int) -> bool:
    said = sentences(text)
    return 1 <= N <= len(said) and bool(word) and word.lower() in said[int(N) - 1].lower()


def _sentence_words(text: str) -> bool:
    said = sentences(text)
    return len(said) == 3 and len({len(sentence) for sentence in said}) == 1


IFBENCH_WORDS: dict[str, Callable[..., bool]] = {
    "count:word_count_range": _word_count_range,
    "count:unique_word_count": _unique_word_count,
    "count:conjunctions": _conjunctions,
    "count:person_names": _person_names,
    "count:numbers": _numbers,
    "count:punctuation": _punctuation,
    "count:words_japanese": _words_japanese,
    "count:pronouns": _pronouns,
    "count:keywords_multiple": _keywords_multiple,
    "ratio:stop_words": _stop_words,
    "ratio:sentence_type": _sentence_type,
    "ratio:sentence_balance": _sentence_balance,
    "ratio:overlap": _overlap,
    "ratio:sentence_words": _sentence_words,
    "words:alphabet": _alphabet,
    "words:vowel": _vowel,
    "words:consonants": _consonants,
    "words:palindrome": _palindrome,
    "words:prime_lengths": _prime_lengths,
    "words:start_verb": _start_verb,
    "words:repeats": _repeats,
    "words:odd_even_syllables": _odd_even_syllables,
    "words:last_first": _last_first,
    "words:paragraph_last_first": _paragraph_last_first,
    "words:no_consecutive": _no_consecutive,
    "words:keywords_specific_position": _specific_position,
    "words:words_position": _words_position,
    "sentence:alliteration_increment": _alliteration_increment,
    "sentence:keyword": _keyword,
    "sentence:increment": _increment,
}
"""Id of an instruction -> the check, which takes the text and the row's arguments by name."""
