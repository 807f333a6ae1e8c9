"""Nothing that a model may write makes the shared scoring code raise, or scores by accident."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlos.scoring import (
    brace_groups,
    contains_answer,
    exact_match,
    fenced_objects,
    json_answer,
    score_similarity,
    surface_forms,
    token_f1,
    unreliable,
)
from athlos.scoring.citations import GRAMMARS, score_citations
from athlos.scoring.data_formats import coerce_cells, coerce_elements, parse_data, strict_schema
from athlos.scoring.data_paths import has_path, score_paths
from athlos.scoring.formatting import match_lines, match_markers

PIECES = st.lists(
    st.sampled_from(
        ["{", "}", "```", "json\n", '"answer"', ":", "[", "]", "a", " ", "\n", "citation_aa11",
         "<cite>", "</cite>", ",", "\x00", "é", "`", "*", ".", "the "]
    ),
    max_size=25,
).map("".join)  # fmt: skip
TEXTS = PIECES | st.text(max_size=60)


@given(TEXTS)
def test_answers_are_found_in_anything(text):
    assert isinstance(json_answer(text), str)
    assert all(group[0] == "{" and group[-1] == "}" for group in brace_groups(text))
    assert all(block in text for block in fenced_objects(text))


@given(TEXTS, TEXTS)
def test_short_answers(gold, text):
    forms = surface_forms(gold)
    assert 0 <= token_f1(gold, text) <= 1
    assert exact_match(gold, text) in (0, 1)
    assert contains_answer(forms, text) <= contains_answer(forms, text, strict=False)
    assert isinstance(unreliable(gold), str)
    assert not gold.strip() or any(form == " ".join(gold.split()) for form in forms)
    assert contains_answer(forms, "") == exact_match(gold, "") == 0


@given(TEXTS, TEXTS)
def test_similarity(gold, text):
    for rule in ("exact", "seq_match", "weighted_seq_match"):
        assert 0 <= score_similarity(gold, text, rule) <= 1.0000001
    assert score_similarity(gold, gold) == float(bool(gold.strip()))


def test_a_rule_that_is_none():
    with pytest.raises(ValueError, match="grading_rule: found 'x'"):
        score_similarity("a", "a", "x")


@given(TEXTS)
def test_citations(text):
    for grammar in GRAMMARS:
        verdict = score_citations(text, {"grammar": grammar, "valid_id_set": ["citation_1"]})
        assert verdict.score == float(not verdict.gate_failed)


@given(TEXTS, TEXTS)
def test_formatting(text, marker):
    assert match_lines(text, ["^a"]).matching_lines <= text.count("\n") + 1
    assert match_markers(text, [marker]).passed == (bool(text.strip()) and marker in text)


@settings(max_examples=60)
@given(TEXTS, TEXTS)
def test_data(text, path):
    for kind in ("json", "yaml", "toml", "xml", "csv", "other"):
        assert 0 <= score_paths(text, kind, [path, "a"]).score <= 1
        try:
            value = parse_data(text, kind)
        except ValueError:
            continue
        assert has_path(value, path) in (True, False)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=60)
@given(ANYTHING)
def test_values_without_a_schema_stay_as_they_are(value):
    assert coerce_elements(value, {}) == value
    assert strict_schema(value if isinstance(value, dict) else {}) is not None
    if isinstance(value, dict):
        assert coerce_cells([value], {}) == [value]
