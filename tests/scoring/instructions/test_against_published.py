"""Our checks say what the published checkers say, on the answers of a model to IFBench."""

import random

import pytest
from tests.scoring.instructions import published

from athlos.scoring.instructions import INSTRUCTIONS, follows, loose_variants

# decided by a tagger there, by a list of verbs here
TAGGED = {"words:start_verb"}

AT_LEAST, LESS = {"relation": "at least"}, {"relation": "less than"}
ARGUMENTS = {
    "keywords:existence": [{"keywords": ["the", "and"]}, {"keywords": ["zebra"]}],
    "keywords:frequency": [{"keyword": "the", "frequency": n} | AT_LEAST for n in (1, 5, 20)]
    + [
        {"keyword": "of", "frequency": 9} | LESS,
        {"keyword": "of", "frequency": 9, "relation": "x"},
    ],
    "keywords:forbidden_words": [{"forbidden_words": ["however", "their"]}],
    "keywords:letter_frequency": [
        {"letter": "q", "let_frequency": n, "let_relation": r}
        for n in (1, 5)
        for r in ("at least", "less than")
    ],
    "language:response_language": [{"language": "en"}, {"language": "de"}],
    "length_constraints:number_sentences": [
        {"num_sentences": n, "relation": r} for n in (2, 8) for r in ("at least", "less than")
    ],
    "length_constraints:number_paragraphs": [{"num_paragraphs": n} for n in (1, 2, 3)],
    "length_constraints:number_words": [{"num_words": n} | AT_LEAST for n in (50, 300)]
    + [{"num_words": 200} | LESS],
    "length_constraints:nth_paragraph_first_word": [
        {"num_paragraphs": n, "nth_paragraph": k, "first_word": w}
        for n in (2, 3, 5)
        for k, w in ((1, "the"), (2, "in"), (2, "The"))
    ],
    "detectable_content:number_placeholders": [{"num_placeholders": n} for n in (1, 3)],
    "detectable_content:postscript": [{"postscript_marker": m} for m in ("P.S.", "P.P.S", "Note:")],
    "detectable_format:number_bullet_lists": [{"num_bullets": n} for n in (0, 2, 3, 5)],
    "detectable_format:constrained_response": [{}],
    "detectable_format:number_highlighted_sections": [{"num_highlights": n} for n in (1, 4)],
    "detectable_format:multiple_sections": [
        {"section_spliter": s, "num_sections": n} for s in ("Section", "Question") for n in (1, 3)
    ],
    "detectable_format:json_format": [{}],
    "detectable_format:title": [{}],
    "combination:two_responses": [{}],
    "combination:repeat_prompt": [{"prompt_to_repeat": "The"}],
    "startend:end_checker": [{"end_phrase": "."}, {"end_phrase": "That is all."}],
    "startend:quotation": [{}],
    "change_case:capital_word_frequency": [
        {"capital_frequency": n, "capital_relation": r}
        for n in (1, 5)
        for r in ("at least", "less than")
    ],
    "change_case:english_capital": [{}],
    "change_case:english_lowercase": [{}],
    "punctuation:no_comma": [{}],
}


@pytest.fixture(scope="module")
def checkers():
    return published.checkers()


@pytest.fixture(scope="module")
def rows():
    return published.ifbench_rows()


def test_every_published_instruction_is_known(checkers):
    assert set(checkers) <= set(INSTRUCTIONS)
    assert set(ARGUMENTS) <= set(checkers)


def test_on_the_answers_to_ifbench_strict_and_loose(checkers, rows):
    compared = 0
    for row, answer in rows:
        for instruction, kwargs in zip(row["instruction_id_list"], row["kwargs"], strict=True):
            if instruction in TAGGED:
                continue
            for text in filter(str.strip, loose_variants(answer)):
                expected = published.follows(checkers, instruction, kwargs, text)
                assert follows(instruction, kwargs, text) == expected, (instruction, kwargs, text)
                compared += 1
    assert compared > 2000


def test_every_instruction_on_answers_to_others(checkers, rows):
    arguments = {
        instruction: kwargs
        for row, _ in rows
        for instruction, kwargs in zip(row["instruction_id_list"], row["kwargs"], strict=True)
    }
    answers = [answer for _, answer in rows[:40]]
    for instruction, kwargs in arguments.items():
        for text in answers if instruction not in TAGGED else ():
            expected = published.follows(checkers, instruction, kwargs, text)
            assert follows(instruction, kwargs, text) == expected, (instruction, text)


def varied(answers):
    """The answers, and texts that more of IFEval's instructions accept."""
    rng = random.Random(0)
    for text in answers:
        yield text
        yield rng.choice([text.upper(), text.lower(), f'"{text}"', f"<<A title>>\n{text}"])
        lines = text.split("\n")
        yield "\n".join(f"* {line}" for line in lines[:3])
        yield "\n***\n".join(lines[:3])
        yield "******".join(lines[:2])
        yield "\n\n".join(lines[:3]) + "\n\nP.S. That is all. P.P.S. [name] [date] [place]"
        yield "My answer is yes."
        yield "The Section 1: one. Section 2: two. Section 3: three."
        yield '```json\n{"a": [1, 2]}\n```'


def test_the_instructions_of_ifeval(checkers, rows):
    followed = set()
    for text in varied(answer for _, answer in rows[::12]):
        for instruction, cases in ARGUMENTS.items():
            for kwargs in cases:
                expected = published.follows(checkers, instruction, kwargs, text)
                assert follows(instruction, kwargs, text) == expected, (instruction, kwargs, text)
                followed |= {instruction} if expected else set()
    assert followed >= set(ARGUMENTS) - {"language:response_language"}
