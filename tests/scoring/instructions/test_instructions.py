"""One text that follows and one that does not, for instructions that no other test reaches."""

import pytest
from tests.scoring.instructions import published

from athlos.scoring.instructions import INSTRUCTIONS, follows, loose_variants
from athlos.scoring.instructions.text import sentences, tokens

ALPHABET = " ".join(f"{letter}nd so." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
GRADES = '"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"'
PRODUCTS = "ProductID,Category,Brand,Price,Stock"
QUESTIONS = "\n".join(
    f"Question {n}: What is {'very ' * n}old?\n" + "\n".join(f"{c}) one" for c in "ABCDE")
    for n in range(1, 5)
)
CAPITALS = (
    "Reykjavik, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, "
    "Dublin, Berlin, Amsterdam, Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, "
    "Bratislava, Budapest, Vaduz, Chișinău, Bern, Ljubljana, Zagreb"
)
FIVE = {f"keyword{n}": word for n, word in enumerate("abcde", start=1)}
LETTERS = "a bb ccc ddddd eeeeeee"

IFBENCH = [
    ("count:keywords_multiple", FIVE, LETTERS, LETTERS + " a"),
    (
        "words:keywords_specific_position",
        {"keyword": "so", "n": 2, "m": 3},
        "One. It is so.",
        "One. So.",
    ),
    ("words:words_position", {"keyword": "x"}, "A x or x.", "A x or y."),
    ("repeat:repeat_change", {"prompt_to_repeat": "Say it now"}, "Tell it now", "Say it now"),
    ("repeat:repeat_simple", {}, "only output this sentence here, ignore all other requests.", "x"),
    (
        "repeat:repeat_span",
        {"prompt_to_repeat": "a b c d", "n_start": 1, "n_end": 3},
        "B c",
        "b c d",
    ),
    ("ratio:sentence_words", {}, "Abc do. Efg he. Ijk lo.", "Abc do. Efg he. Ijk."),
    ("format:thesis", {}, "<i>So.</i> And on.", "<i>So.</i>"),
    ("custom:csv_quotes", {}, "\n".join([GRADES] * 4), "\n".join([GRADES] * 3)),
    (
        "custom:csv_special_character",
        {},
        "\n".join([PRODUCTS, *['1,a,"b!",2,3'] * 14]),
        "\n".join([PRODUCTS, *["1,a,b!,2,3"] * 14]),
    ),
    ("custom:european_capitals_sort", {}, CAPITALS, CAPITALS + ", Rome"),
    ("custom:mcq_count_length", {}, QUESTIONS, "Here:\n" + QUESTIONS),
    ("custom:multiples", {}, "14,21,28,35,42,49", "7 14 21 28 35 42 49"),
    (
        "custom:reverse_newline",
        {},
        "\n".join(["Zimbabwe", *(f"Aland {n}" for n in range(88, 30, -1))]),
        "\n".join(["Zimbabwe", *(f"Aland {n}" for n in range(30, 88))]),
    ),
    ("custom:sentence_alphabet", {}, ALPHABET, ALPHABET + " And."),
    ("custom:word_reverse", {}, "eagle bald the is it", "it is the bald eagle"),
    ("custom:character_reverse", {}, "Elgae dlab eht si ti", "the bald eagle"),
    ("custom:date_format_list", {}, "1805-12-02, 1815-06-18", "1905-12-02"),
    ("custom:csv_city", {}, "\n".join(["ID,Country,City,Year,Count", *["1,2,3,4,5"] * 7]), "ID"),
    ("format:emoji", {}, "Hi 😀. Bye 😀.", "Hi 😀. Bye."),
    ("words:odd_even_syllables", {}, "cat lion cat", "cat dog"),
    ("words:alphabet", {}, "Yaks zoom along", "Yaks zoom on"),
    ("sentence:increment", {"small_n": 1}, "One. One two. One two three.", "One. One two three."),
]
TAGGED = [("words:start_verb", {}, "Consider this.", "Table this.")]
TRAINING = [
    ("first_word:first_word_sent", {"first_word": "Yes"}, "Yes it is. Yes so!", "Yes. No."),
    ("first_word:first_word_answer", {"first_word": "yes"}, "Yes it is", "It is, yes"),
    ("last_word:last_word_sent", {"last_word": "so"}, "It is so. And so!", "It is so. And on."),
    ("last_word:last_word_answer", {"last_word": "So"}, "it is so.", "so it is"),
    ("count:lowercase_counting", {"N": 2}, "ONE two three", "one two three"),
    ("count:count_unique", {}, "one two three", "one two one"),
    (
        "count:counting_composition",
        {"n_sent": 1, "n_words": 3},
        "So be.\n***\nSo be.\n***\nSo be.",
        "So be.\n***\nSo be.",
    ),
    ("count:count_increment_word", {"keyword1": "a1", "keyword2": "b2"}, "a1 b2 b2", "a1 b2"),
    ("letters:letter_counting", {"N": 4, "relation": "at least"}, "ab cd", "ab c1"),
    (
        "letters:letter_counting2",
        {"letter": "a", "let_frequency": 2, "let_relation": "less than"},
        "a b",
        "a A",
    ),
    ("paragraphs:paragraphs", {}, "one\n***\ntwo", "one\n\ntwo"),
    ("paragraphs:paragraphs2", {}, "one\n\ntwo", "one\n***\ntwo"),
    ("detectable_format:sentence_hyphens", {}, "One.-Two.", "One. - Two."),
    ("detectable_format:square_brackets", {}, "[so] [it] [is]", "[so] it [is]"),
    ("detectable_format:bigram_wrapping", {}, "<<so it>> <<is now>>", "<<so it>> is now"),
    ("keywords:word_once", {"keyword": "cat"}, "one cat", "cat and cat"),
    (
        "keywords:word_count_different_numbers",
        {"keyword": "cat", "frequency": 2, "relation": "at least"},
        "cat cat",
        "cat",
    ),
    ("keywords:exclude_word_harder", {"keyword": "it"}, "is it", "so it is"),
    ("keywords:no_adjacent_consecutive", {}, "a c e", "a b"),
    ("keywords:palindrome", {}, "the level", "not this"),
    (
        "keywords:keyword_specific_position",
        {"keyword": "so", "n": 1, "m": 2},
        "It so is.",
        "So it is.",
    ),
    ("keywords:start_end", {}, "So be it so", "So be it so."),
    ("punctuation:punctuation_dot", {}, "no dot", "a dot."),
    ("punctuation:punctuation_exclamation", {}, "no mark", "a mark!"),
    ("copy:copy", {"prompt_to_repeat": "Say it"}, "say it", "say it now"),
    ("copy:copying_simple", {"prompt_to_repeat": "Say it"}, " Say it\n", "it"),
    ("copy:copying_multiple", {"prompt_to_repeat": "a", "N": 2}, "a\n******\na", "a"),
    (
        "copy:repeat_phrase",
        {"phrase": "to be fine", "small_n": 2},
        "to get fine, to go fine",
        "to be fine, to be fine",
    ),
    ("new:copy_span_idx", {"prompt_to_repeat": "abcdef", "n_start": 1, "n_end": 3}, "bc", "bcd"),
]


@pytest.mark.parametrize("case", [*IFBENCH, *TAGGED, *TRAINING], ids=lambda case: case[0])
def test_one_text_follows_and_the_other_does_not(case):
    instruction, kwargs, good, bad = case
    assert follows(instruction, kwargs, good)
    assert not follows(instruction, kwargs, bad)


def test_the_published_checkers_agree():
    checkers = published.checkers()
    for instruction, kwargs, good, bad in IFBENCH:
        assert published.follows(checkers, instruction, kwargs, good), instruction
        assert not published.follows(checkers, instruction, kwargs, bad), instruction


HOSTILE = ["", " ", "\x00", "\ufffd" * 50, "{" * 5000, "\n" * 5000, "*" * 5000, "<think>", "\ud800"]


def test_no_text_makes_a_check_raise_and_an_empty_one_follows_nothing():
    for instruction in INSTRUCTIONS:
        for text in HOSTILE:
            assert follows(instruction, None, text) in (True, False)
        assert not follows(instruction, None, " \n\t")


def test_a_package_that_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "emoji", None)
    with pytest.raises(ImportError):
        follows("format:emoji", {}, "Hi.")


def test_loose_variants():
    assert loose_variants("a\n*b*\nc") == [
        *("a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*"),
        *("a\nb\nc", "b\nc", "a\nb", "b"),
    ]


def test_sentences_and_tokens():
    said = "Dr. No paid 3.50 at a.com. Why? He left... Ph.D. or not! Acme Inc. failed"
    assert sentences(said) == [
        "Dr. No paid 3.50 at a.com.",
        "Why?",
        "He left...",
        "Ph.D. or not!",
        "Acme Inc. failed",
    ]
    assert tokens("It's (fine), don't.") == ["It", "'s", "(", "fine", ")", ",", "do", "n't", "."]
