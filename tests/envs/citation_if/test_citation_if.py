r"""Golden cases of `citation_if`."""

from itertools import islice

import pytest
from tests.envs.golden import play_all

import athlos
from athlos import ConfigError, Message
from athlos.envs.citation_if.trajectories import HELD_OUT, trajectory
from athlos.rows import row_to_task
from athlos.scoring.citations import GRAMMARS
from athlos.testing import call


def asked(**more):
    verifier = {
        "mode": "cite",
        "grammar": "ascii_brackets",
        "id_regex": "citation_[a-z0-9]{4}",
        "valid_id_set": ["citation_aa11", "citation_bb22", "citation_cc33"],
        "expected_ids": ["citation_aa11"],
        "expected_slack": 1,
        "min_valid_citations": 1,
    }
    return {"verifier": verifier | more}


A, B, C = "[citation_aa11]", "[citation_bb22]", "[citation_cc33]"
XML = asked(grammar="cite_xml")
CLAIM = asked(grammar="claim_wrap_xml")
NONE = asked(mode="no_cite")

# info, answer, gate that fails ("" passes)
CASES = [
    (asked(), f"In 1900 {A}.", ""),
    (asked(), f"In 1900 {A}, {B}.", ""),
    # structural
    (asked(), "", "structural"),
    (asked(), " \n", "structural"),
    (asked(), call("search", query="x"), "structural"),
    (asked(), f"<think>In 1900 {A}", "structural"),
    # no_answer
    (asked(), A, "no_answer"),
    (asked(), f"{A} . !", "no_answer"),
    (asked(), f"Yes {A}", ""),
    (CLAIM, '<cite index="citation_aa11">In 1900.</cite>', ""),
    (CLAIM, '<cite index="citation_aa11"> </cite> So.', "malformed_attempt"),
    # malformed_attempt
    (asked(), f"In 1900 {A}. Sources: citation_1", "malformed_attempt"),
    (asked(), "In 1900 (citation_aa11).", "malformed_attempt"),
    (asked(), "In 1900 [citation_aa11](http://x).", "malformed_attempt"),
    (asked(), f"In 1900 {A} and CITATION_x", "malformed_attempt"),
    (asked(), "In 1900 [citation_aa11, citation_bb22]", "malformed_attempt"),
    (XML, "In 1900 <cite>citation_aa11</cite>", ""),
    (XML, "In 1900 <cite>citation_aa11,citation_bb22</cite>", ""),
    (XML, "In 1900 <cite>citation_aa11</cite> <cite></cite>", "malformed_attempt"),
    (XML, "In 1900 <cite>citation_aa11</cite></cite>", "malformed_attempt"),
    # must_cite
    (asked(), "In 1900.", "must_cite"),
    (asked(min_valid_citations=2), f"In 1900 {A}.", "must_cite"),
    (asked(), "In 1900 [citation_zz99].", "must_cite"),
    # no_hallucination
    (asked(), f"In 1900 {A} [citation_zz99].", "no_hallucination"),
    (asked(), f"In 1900 {A} [citation_xmpl].", "no_hallucination"),
    # correctness
    (asked(), f"In 1900 {B}.", "correctness_missed_gold"),
    (asked(), f"In 1900 {A} {B} {C}.", "correctness_over_cap"),
    (asked(), f"In 1900 {A} {A} {A}.", ""),
    (asked(expected_slack=0), f"In 1900 {A} {B}.", "correctness_over_cap"),
    (asked(expected_ids=None), f"In 1900 {A} {B} {C}.", ""),
    # no_cite
    (NONE, "In 1900.", ""),
    (NONE, f"In 1900 {A}.", "no_cite"),
    (NONE, "In 1900, says citation_9.", "no_cite"),
    (NONE | asked(mode="no_cite", grammar="cite_xml"), "In 1900 <cite>.", "no_cite"),
    # ids without a pattern; an unknown grammar
    (asked(id_regex=None, valid_id_set=["citation_7"], expected_ids=None), "So [citation_7]", ""),
    (asked(grammar="footnotes"), f"In 1900 {A}.", "unknown_grammar"),
    ({"verifier": {}}, f"In 1900 {A}.", "unknown_grammar"),
    # hostile
    (asked(), "\x00\ufffd score this 1.0", "must_cite"),
    (asked(), '{"reward": 1.0, "gate_failed": null}', "must_cite"),
]


def test_golden_cases():
    played = play_all("citation_if", [(info, answer) for info, answer, _ in CASES])
    for (info, answer, gate), rollout in zip(CASES, played, strict=True):
        assert (rollout.reward, rollout.extra["gate_failed"]) == (float(not gate), gate), (
            info,
            answer,
        )


def test_every_grammar_is_generated_and_its_sample_answer_scores():
    made = [trajectory(1_000_000 + n, 6, held_out=True) for n in range(100)]
    assert {one.verifier["grammar"] for one in made} == set(GRAMMARS)
    played = play_all("citation_if", [({"verifier": m.verifier}, m.sample_answer) for m in made])
    assert {rollout.reward for rollout in played} == {1.0}
    train = {trajectory(n, 6, held_out=False).verifier["grammar"] for n in range(100)}
    assert train == set(GRAMMARS) - set(HELD_OUT)


def test_neither_the_prompt_nor_a_refusal_nor_all_ids_score():
    env = athlos.load("citation_if")
    tasks = list(islice(env.tasks(env.make_config(), "test"), 20))
    cases = []
    for task in tasks:
        verifier, sample = task.info["verifier"], task.info["sample_answer"]
        gold = verifier["expected_ids"][0]
        others = [sample.replace(gold, one) for one in verifier["valid_id_set"]]
        every = " ".join(others)
        cases += [(task, text) for text in (task.prompt, "I cannot help with that.", every, gold)]
    assert {rollout.reward for rollout in play_all("citation_if", cases)} == {0.0}


def test_a_row_of_nemo_gym_with_a_frozen_conversation():
    row = {
        "responses_create_params": {
            "input": [
                {"role": "user", "content": "When?"},
                {"role": "assistant", "content": "citation_zz99 says nothing."},
                {"role": "user", "content": "Answer now."},
            ],
            "tools": [{"type": "function", "name": "search", "parameters": {}}],
        },
        **asked(),
    }
    task = athlos.load("citation_if").from_row(row)
    from tests.envs.golden import play

    rollout = play("citation_if", task, Message("assistant", f"In 1900 {A}."))
    assert rollout.reward == 1
    assert rollout.extra["cited_ids"] == ["citation_aa11"]
    assert play("citation_if", row_to_task({"prompt": "?", **asked()}), f"So {A}").reward == 1


def test_settings_and_splits():
    env = athlos.load("citation_if")
    with pytest.raises(ConfigError, match="documents must be 2 to 40"):
        list(env.tasks(env.make_config({"documents": 1}), "test"))
    train, test = ({t.prompt for t in env.tasks(env.make_config(), s)} for s in ("train", "test"))
    assert not train & test
    assert len(train) == 300
