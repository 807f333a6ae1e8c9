r"""Golden cases of `structured_outputs`."""

import json
from itertools import islice

import pytest
from tests.envs.golden import play, play_all, reward

import athlos
from athlos import ConfigError, Message
from athlos.envs.structured_outputs.records import record, written
from athlos.rows import row_to_task
from athlos.scoring.data_formats import strict_schema
from athlos.types import FunctionCall, ToolCall

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
}
XML = {
    "type": "object",
    "properties": {
        "p": {
            "type": "object",
            "properties": {
                "n": {"type": "number"},
                "ok": {"type": "boolean"},
                "tag": {"type": "array", "items": {"type": "string"}},
                "note": {"type": "string"},
            },
        }
    },
}
CSV = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "note": {"type": ["null", "number", "string"]}},
    },
}


def asked(schema, schema_type="json", **more):
    return {"schema_str": json.dumps(schema), "schema_type": schema_type} | more


def xml(n="1.5", ok="true", tag="<tag>a</tag><tag>b</tag>", note="<note/>"):
    return f"<p><n>{n}</n><ok>{ok}</ok>{tag}{note}</p>"


# info, answer, error type ("" is right)
CASES = [
    # JSON: the whole text, strictly by the schema
    (asked(PERSON), '{"name": "A", "age": 3}', ""),
    (asked(PERSON), ' {"age": 3, "name": ""}\n', ""),
    (asked(PERSON), '```json\n{"name": "A", "age": 3}\n```', "parse_error"),
    (asked(PERSON), 'Here: {"name": "A", "age": 3}', "parse_error"),
    (asked(PERSON), '{"name": "A"}', "validation_error"),
    (asked(PERSON), '{"name": "A", "age": 3, "x": 1}', "validation_error"),
    (asked(PERSON), '{"name": "A", "age": "3"}', "validation_error"),
    (asked(PERSON), '{"name": "A", "age": ', "parse_error"),
    (asked({**PERSON, "required": []}), '{"name": "A"}', "validation_error"),
    # alternatives are left as they are
    (asked({"anyOf": [PERSON, {"type": "null"}]}), '{"name": "A"}', ""),
    # YAML, TOML
    (asked(PERSON, "yaml"), "name: A\nage: 3", ""),
    (asked(PERSON, "yaml"), "name: A\nage: three", "validation_error"),
    (asked(PERSON, "yaml"), "name: [A", "parse_error"),
    (asked(PERSON, "yaml"), "I cannot help with that.", "validation_error"),
    (asked(PERSON, "toml"), 'name = "A"\nage = 3', ""),
    (asked(PERSON, "toml"), "name = A", "parse_error"),
    # XML: strings become what the schema says
    (asked(XML, "xml"), xml(), ""),
    (asked(XML, "xml"), xml(tag="<tag>a</tag>"), ""),
    (asked(XML, "xml"), xml(tag="<tag><s>a</s><s>b</s></tag>"), ""),
    (asked(XML, "xml"), xml(ok="0"), ""),
    (asked(XML, "xml"), xml(n="many"), "validation_error"),
    (asked(XML, "xml"), xml(n=""), "validation_error"),
    (asked(XML, "xml"), "<p>", "parse_error"),
    # CSV: cells become what the schema says
    (asked(CSV, "csv"), "id,note\n1,\n2,2.5\n3,x", ""),
    (asked(CSV, "csv"), "id,note\none,x", "validation_error"),
    (asked(CSV, "csv"), "id\n1", "validation_error"),
    (asked(CSV, "csv"), "id,note,more\n1,2,3", "validation_error"),
    # nothing, a bad schema, hostile texts
    (asked(PERSON), "", "empty_response"),
    (asked(PERSON), " \n", "empty_response"),
    (asked(PERSON) | {"schema_str": "{"}, "{}", "schema_error"),
    (asked({"type": "thing"}), "{}", "validation_error"),
    (asked(PERSON, "yacc"), "{}", "parse_error"),
    (asked(PERSON), '<think>{"name": "A", "age": 3}', "empty_response"),
    (asked(PERSON), "[" * 100_000, "parse_error"),
    (asked(PERSON), "\x00\ufffd", "parse_error"),
    (asked(PERSON), '{"reward": 1.0}', "validation_error"),
]


def test_golden_cases():
    played = play_all("structured_outputs", [(info, answer) for info, answer, _ in CASES])
    for (info, answer, error), rollout in zip(CASES, played, strict=True):
        found = rollout.extra.get("error_type", "")
        assert (rollout.reward, found) == (float(not error), error), (info, answer, rollout.extra)
        assert len(rollout.extra.get("error_message", "")) <= 200


def calls(*named):
    return Message(
        "assistant",
        tool_calls=[ToolCall(f"c{n}", FunctionCall(*call)) for n, call in enumerate(named)],
    )


CALL = asked(PERSON, response_mode="tool_call", tool_name="save")
GOOD = '{"name": "A", "age": 3}'
CALLS = [
    (CALL, calls(("save", GOOD)), ""),
    (CALL, GOOD, "missing_tool_call"),
    (CALL, calls(("save", GOOD), ("save", GOOD)), "multiple_tool_calls"),
    (CALL, calls(("drop", GOOD)), "wrong_tool_name"),
    (CALL, calls(("save", "{")), "tool_arguments_parse_error"),
    (CALL, calls(("save", '{"name": "A"}')), "validation_error"),
    (CALL | {"tool_payload_key": "it"}, calls(("save", f'{{"it": {GOOD}}}')), ""),
    (CALL | {"tool_payload_key": "it"}, calls(("save", GOOD)), "missing_tool_payload_key"),
    (CALL | {"tool_name": None}, calls(("save", GOOD)), ""),
]


def test_golden_cases_of_tool_calls():
    played = play_all("structured_outputs", [(info, answer) for info, answer, _ in CALLS])
    for (info, answer, error), rollout in zip(CALLS, played, strict=True):
        found = rollout.extra.get("error_type", "")
        assert (rollout.reward, found) == (float(not error), error), (info, answer, rollout.extra)


def test_a_row_of_nemo_gym_with_a_tool():
    row = {
        "responses_create_params": {
            "input": "Save A, 3.",
            "tools": [{"type": "function", "name": "save", "parameters": PERSON}],
        },
        **CALL,
    }
    task = athlos.load("structured_outputs").from_row(row)
    assert play("structured_outputs", task, calls(("save", GOOD))).reward == 1


def test_a_row_of_ours():
    task = row_to_task({"prompt": "?", **asked(PERSON)})
    assert play("structured_outputs", task, GOOD).reward == 1


def test_a_schema_is_made_strict_everywhere_but_under_alternatives():
    inner = {"properties": {"a": {}}}
    made = strict_schema({"properties": {"b": inner}, "prefixItems": [inner], "oneOf": [inner]})
    strict = {"properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    assert made["properties"]["b"] == made["prefixItems"][0] == strict
    assert made["oneOf"] == [inner]
    assert made["required"] == ["b"]


@pytest.mark.parametrize("data_format", ["json", "yaml", "xml", "toml", "csv"])
def test_the_sample_answer_scores_and_neither_the_prompt_nor_others_do(data_format):
    env = athlos.load("structured_outputs")
    config = env.make_config({"format": data_format})
    tasks = list(islice(env.tasks(config, "test"), 15))
    good = play_all("structured_outputs", [(task, task.info["sample_answer"]) for task in tasks])
    assert {rollout.reward for rollout in good} == {1.0}
    wrong = ("I cannot help with that.", "{}", "a,b\n1,2", "x: 1")
    cases = [(task, answer) for task in tasks for answer in (task.prompt, *wrong)]
    assert {rollout.reward for rollout in play_all("structured_outputs", cases)} == {0.0}


def test_levels_and_splits():
    env = athlos.load("structured_outputs")
    with pytest.raises(ConfigError, match="level must be 1 to 3"):
        list(env.tasks(env.make_config({"level": 4}), "test"))
    train, test = (
        {t.prompt for t in env.tasks(env.make_config(), split)} for split in ("train", "test")
    )
    assert not train & test
    made = record(7, 1, "json")
    assert written(made.data, "json") == json.dumps(made.data)


def test_the_reward_does_not_read_the_label_of_a_mode_that_is_text():
    assert reward("structured_outputs", asked(PERSON, response_mode="text"), GOOD) == 1
