"""Data sets of aviary, with the library itself."""

import pytest
from tests.connect.playing import play

from athlos import ConfigError, load
from athlos.testing import call, scripted

pytest.importorskip("aviary.core", reason="aviary is not installed")

DUMMY = "aviary:dummy"


def test_an_environment_is_stepped_by_tool_calls_and_rewards_them():
    model = scripted(call("print_story", story="Once upon a time there"))
    rollouts, failures = play(DUMMY, model, limit=3)
    assert failures == []
    assert [r.reward for r in rollouts] == [1.0] * 3
    assert {r.stop_reason for r in rollouts} == {"environment"}
    opening = rollouts[0].messages[0]
    assert (opening.role, "Write a 5 word story" in opening.text) == ("user", True)


def test_calls_of_one_message_are_one_step_and_answered_in_order():
    message = call("cast_int", x=2.5)
    message.tool_calls = [*message.tool_calls, *call("cast_float", x="1.5").tool_calls]
    for number, one in enumerate(message.tool_calls):
        one.id = f"c{number}"
    model = scripted(message, call("print_story", story="x"))
    (rollout,), failures = play(DUMMY, model, limit=1)
    assert failures == []
    assert [(m.tool_call_id, m.text) for m in rollout.messages[2:4]] == [("c0", "2"), ("c1", "1.5")]
    assert rollout.reward == 1.0


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("nope", "{}", "there is no tool named 'nope'"),
        ("__init__", "{}", "there is no tool named '__init__'"),
        ("cast_int", "{", "not valid JSON"),
        ("cast_int", "[]", "must be a JSON object"),
        ("cast_float", '{"x": "many"}', "ValueError"),
        ("cast_int", '{"y": 1}', "Error"),
    ],
)
def test_a_bad_call_is_answered_to_the_model(name, arguments, said):
    bad = call("cast_int", x=1)
    bad.tool_calls[0].function.name = name
    bad.tool_calls[0].function.arguments = arguments
    (rollout,), failures = play(DUMMY, scripted(bad, call("print_story", story="x")), limit=1)
    assert failures == []
    assert said in rollout.messages[2].text
    assert rollout.reward == 1.0


def test_a_message_without_a_call_is_answered_by_the_environment():
    (rollout,), failures = play(DUMMY, scripted("Hm.", call("print_story", story="x")), limit=1)
    assert failures == []
    assert rollout.messages[2].role == "user"
    assert rollout.reward == 1.0


def test_tools_have_the_schemas_of_the_library():
    import asyncio

    from athlos.engine.preview import preview

    env = load(DUMMY)
    shown = asyncio.run(preview(env, env.make_config({"size": 1})))
    tools = {tool["function"]["name"]: tool["function"] for tool in shown.tools}
    assert tools["print_story"]["parameters"]["properties"]["story"]["type"] == "string"
    assert tools["print_story"]["description"] == "Print a story."


def test_there_is_no_such_data_set():
    with pytest.raises(ConfigError, match="aviary:nope cannot be made"):
        play("aviary:nope", scripted("x"), limit=1)
