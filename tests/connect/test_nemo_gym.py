"""NeMo Gym's servers as environments: the protocol, its errors, and what a model cannot do."""

import asyncio
import json
import threading

import pytest
from tests.connect.fake_gym import FakeGym

from athlos import ConfigError, collect, load
from athlos.agents import ToolLoop
from athlos.connect.http_server import Server
from athlos.testing import call, scripted

ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"amount": {"type": "integer"}}},
    "strict": True,
}


def row(target=3, tools=(ADD,), **fields):
    params = {"input": [{"role": "user", "content": "Count."}], "tools": list(tools)}
    metadata = {"target": target, "task_id": f"t{target}"}
    return {"responses_create_params": params, "verifier_metadata": metadata, **fields}


def play(gym, model, tmp_path, *rows, scheme="nemo-gym", **options):
    """The rollouts and failures of a run against the server."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows or (row(),)))

    async def gather():
        return [rollout async for rollout in collection]

    collection = collect(f"{scheme}+{gym.url}", model, tasks=path, **options)
    return asyncio.run(gather()), collection.failures


def test_a_session_is_seeded_its_tools_called_and_the_whole_verified(tmp_path):
    with FakeGym() as gym:
        given = row(agent_ref={"name": "a"}, _ng_task_index=7, extra=[1])
        (rollout,), failures = play(gym, scripted(call("add", amount=3), "Done."), tmp_path, given)
    assert failures == []
    assert rollout.reward == 1.0
    assert gym.paths() == ["/seed_session", "/add", "/verify"]
    assert gym.bodies("/seed_session") == [given]
    assert gym.bodies("/add") == [{"amount": 3}]
    verified = gym.bodies("/verify")[0]
    assert {name: verified[name] for name in given} == given
    kinds = [item["type"] for item in verified["response"]["output"]]
    assert kinds == ["function_call", "function_call_output", "message"]
    assert verified["response"]["output"][1]["output"] == '{"count": 3}'
    assert rollout.messages[2].text == '{"count": 3}'
    assert rollout.metrics == {"count": 3.0}
    assert rollout.extra["verify"] == {"count": 3, "note": "n"}


def test_attempts_have_sessions_and_cookies_of_their_own(tmp_path):
    rows = [row(target) for target in range(1, 21)]
    with FakeGym() as gym:
        model = scripted(call("add", amount=1), call("add", amount=2), "Done.")
        rollouts, failures = play(gym, model, tmp_path, *rows, samples=2, concurrency=16)
    assert failures == []
    assert {r.task_id for r in rollouts if r.reward == 1.0} == {"t3"}
    assert len(gym.sessions) == 40


def test_what_the_server_says_at_the_beginning_is_part_of_the_prompt(tmp_path):
    with FakeGym(says="The counter is at 0.") as gym:
        (rollout,), _ = play(gym, scripted(call("add", amount=3), "Done."), tmp_path)
    assert [m.text for m in rollout.messages[:2]] == ["Count.", "The counter is at 0."]
    output = gym.bodies("/verify")[0]["response"]["output"]
    assert output[0]["type"] == "function_call"


def test_a_seed_may_be_answered_by_nothing(tmp_path):
    with FakeGym(faults={"/verify": (200, {"reward": 0.25})}) as gym:
        gym.faults["/seed_session"] = (200, b"")
        (rollout,), failures = play(gym, scripted("Done."), tmp_path)
    assert (rollout.reward, failures) == (0.25, [])


def test_one_of_several_environments_of_a_server_is_described_at_its_root(tmp_path):
    paths = {"/a/reset": {}, "/a/step": {}, "/a/seed_session": {}}
    faults = {
        "/a/openapi.json": (404, {"detail": "Not Found"}),
        "/openapi.json": (200, {"paths": paths}),
        "/a/reset": (200, {"observation": "Here.", "info": {}}),
        "/a/step": (200, {"reward": 0.5, "terminated": True, "info": {"metrics": {"m": 2}}}),
    }
    with FakeGym(faults=faults) as gym:
        gym.url += "/a"
        (rollout,), failures = play(gym, scripted("Done."), tmp_path)
    assert failures == []
    assert (rollout.reward, rollout.metrics["m"]) == (0.5, 2.0)


def test_a_path_at_which_there_is_no_environment_is_found_before_the_run(tmp_path):
    faults = {
        "/wrong/openapi.json": (404, {"detail": "Not Found"}),
        "/openapi.json": (200, {"paths": {"/a/seed_session": {}, "/b/seed_session": {}}}),
    }
    with FakeGym(faults=faults) as gym:
        gym.url += "/wrong"
        with pytest.raises(ConfigError, match=r"there is no environment at .*/wrong") as caught:
            play(gym, scripted("Done."), tmp_path)
    assert "/a, /b" in caught.value.hint


def test_calls_of_one_turn_run_one_after_the_other(tmp_path):
    message = call("add", amount=1)
    message.tool_calls = [*message.tool_calls, *call("add", amount=2).tool_calls]
    with FakeGym() as gym:
        (rollout,), failures = play(gym, scripted(message, "Done."), tmp_path)
    assert failures == []
    assert [m.text for m in rollout.messages if m.role == "tool"] == [
        '{"count": 1}',
        '{"count": 3}',
    ]


@pytest.mark.parametrize(
    "name",
    ["verify", "seed_session", "../verify", "add/../verify", "close", "__class__", "", "a b"],
)
def test_a_model_reaches_nothing_but_declared_tools(tmp_path, name):
    with FakeGym() as gym:
        (rollout,), failures = play(gym, scripted(call(name, amount=3), "Done."), tmp_path)
    assert failures == []
    assert gym.paths() == ["/seed_session", "/verify"]
    assert "there is no tool named" in rollout.messages[2].text


@pytest.mark.parametrize("name", ["verify", "../add", "a/b", "", "step", "x" * 200, 3, None])
def test_a_row_cannot_declare_a_route_or_a_path(tmp_path, name):
    with FakeGym() as gym, pytest.raises(ConfigError, match="has a tool named"):
        play(gym, scripted("Done."), tmp_path, row(tools=[{**ADD, "name": name}]))
    assert gym.paths() == []


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"', "NaN", "[" * 5000])
def test_arguments_that_are_no_object_are_not_sent(tmp_path, arguments):
    message = call("add", amount=1)
    message.tool_calls[0].function.arguments = arguments
    with FakeGym() as gym:
        (rollout,), failures = play(gym, scripted(message, "Done."), tmp_path)
    assert failures == []
    assert gym.paths() == ["/seed_session", "/verify"]
    assert rollout.tool_errors == 1


@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_what_a_tool_answers_is_data_whatever_its_status(tmp_path, status):
    with FakeGym(faults={"/add": (status, {"detail": "no"})}) as gym:
        (rollout,), failures = play(gym, scripted(call("add", amount=3), "Done."), tmp_path)
    assert failures == []
    assert rollout.messages[2].text == '{"detail": "no"}'


@pytest.mark.parametrize(
    ("path", "fault", "failure_class", "retryable"),
    [
        ("/seed_session", (500, "boom"), "environment_error", True),
        ("/seed_session", (422, "bad"), "environment_error", False),
        ("/add", (503, "down"), "environment_error", True),
        ("/verify", (500, "boom"), "environment_error", True),
        ("/verify", (429, "later"), "environment_error", True),
        ("/verify", (422, "bad"), "verifier_error", False),
        ("/verify", (200, {"reward": None}), "verifier_error", False),
        ("/verify", (200, {}), "verifier_error", False),
        ("/verify", (200, {"reward": True}), "verifier_error", False),
        ("/verify", (200, {"reward": "1"}), "verifier_error", False),
        ("/verify", (200, b'{"reward": NaN}'), "verifier_error", False),
        ("/verify", (200, [1]), "verifier_error", False),
        ("/verify", (200, b"{"), "verifier_error", False),
        (
            "/verify",
            (200, {"reward": 0.0, "_ng_failure_class": "judge_failed"}),
            "judge_error",
            True,
        ),
        (
            "/verify",
            (200, {"reward": 0.0, "_ng_failure_class": "x", "_ng_failure_terminal": True}),
            "environment_error",
            False,
        ),
        (
            "/verify",
            (200, {"reward": 0.0, "mask_sample": True, "failure_kind": "session_lost"}),
            "environment_error",
            True,
        ),
    ],
)
def test_what_goes_wrong_at_the_server_is_a_failure(
    tmp_path, path, fault, failure_class, retryable
):
    with FakeGym(faults={path: fault}) as gym:
        rollouts, failures = play(gym, scripted(call("add", amount=3), "Done."), tmp_path)
    assert rollouts == []
    (failure,) = failures
    assert (failure.failure_class, failure.retryable) == (failure_class, retryable)


def test_a_diagnosis_of_nothing_is_not_recorded(tmp_path):
    healthy = {"mask_sample": False, "failure_kind": None, "failure_reason": None}
    fault = (200, {"reward": 1.0, "note": "n", **healthy})
    with FakeGym(faults={"/verify": fault}) as gym:
        (rollout,), _ = play(gym, scripted("Done."), tmp_path)
    assert rollout.extra["verify"] == {"note": "n"}
    assert rollout.metrics == {}


def test_a_failure_of_the_server_is_mended_by_another_attempt(tmp_path):
    answers = iter([(500, "boom")])
    with FakeGym(faults={"/verify": lambda body: next(answers, None)}) as gym:
        rollouts, failures = play(
            gym, scripted(call("add", amount=3), "Done."), tmp_path, attempts=2
        )
    assert [r.reward for r in rollouts] == [1.0]
    assert [f.failure_class for f in failures] == ["environment_error"]


def test_a_server_that_is_silent_is_not_waited_for_for_ever(tmp_path):
    release = threading.Event()

    def silent(body):
        release.wait(60)
        return 200, {}

    with FakeGym(faults={"/verify": silent}) as gym:
        try:
            _, failures = play(gym, scripted("Done."), tmp_path, config={"verify_timeout": 0.2})
        finally:
            release.set()
    (failure,) = failures
    assert failure.failure_class == "environment_error"
    assert failure.retryable
    assert "no reply within 0.2 s" in failure.message


def test_a_run_does_not_begin_without_a_server(tmp_path):
    with FakeGym() as gym:
        pass
    with pytest.raises(ConfigError, match=r"GET http://127\.0\.0\.1:\d+/openapi\.json"):
        play(gym, scripted("Done."), tmp_path, config={"wait": 0})


def test_a_new_session_waits_for_a_server_that_is_not_up_yet():
    async def main():
        with FakeGym() as before:
            pass
        again = FakeGym(port=int(before.url.rpartition(":")[2]))
        server = Server(before.url, wait=30)
        asyncio.get_running_loop().call_later(0.3, again.__enter__)
        try:
            answer = await server.first(server.session(), "GET", "/", None, timeout=5)
        finally:
            await server.close()
            again.__exit__()
        return answer.status

    assert asyncio.run(main()) == 200


def test_a_token_is_sent_and_its_lack_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("GYM_TOKEN", "hush")
    with FakeGym(token="hush") as gym:
        rollouts, failures = play(
            gym, scripted("Done."), tmp_path, config={"api_key_env": "GYM_TOKEN"}
        )
        assert (len(rollouts), failures) == (1, [])
        with pytest.raises(ConfigError, match="answered 401") as raised:
            play(gym, scripted("Done."), tmp_path)
    assert "api_key_env" in raised.value.hint
    with FakeGym() as gym, pytest.raises(ConfigError, match="NO_SUCH_TOKEN"):
        play(gym, scripted("Done."), tmp_path, config={"api_key_env": "NO_SUCH_TOKEN"})


def test_rows_of_another_shape_are_refused(tmp_path):
    with FakeGym() as gym, pytest.raises(ConfigError, match=r"rows\.jsonl:1: the row has no"):
        play(gym, scripted("Done."), tmp_path, {"prompt": "Hi"})


def test_there_are_no_tasks_without_a_file():
    env = load("nemo-gym+http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="has no tasks") as raised:
        env.tasks(env.make_config(), "test")
    assert "--tasks" in raised.value.hint


def test_a_run_goes_on_with_a_server_at_another_address(tmp_path):
    model = scripted(call("add", amount=3), "Done.")
    for samples in (1, 2):
        with FakeGym() as gym:
            rollouts, _ = play(gym, model, tmp_path, samples=samples, out=tmp_path / "run")
    assert len(rollouts) == 1
    assert load(f"nemo-gym+{gym.url}/a").name == "nemo-gym/a"


def test_https_is_the_same_connector():
    assert load("nemo-gym+https://gym.example/a/").url == "https://gym.example/a"


# -- reset, step, close ----------------------------------------------------------------------------


def test_steps_are_summed_and_the_session_closed(tmp_path):
    with FakeGym(steps=True) as gym:
        model = scripted("What now?", call("add", amount=1), call("add", amount=2))
        (rollout,), failures = play(gym, model, tmp_path)
    assert failures == []
    assert gym.paths() == ["/reset", "/step", "/step", "/step", "/close"]
    assert gym.closed == ["s0"]
    assert rollout.reward == 1.5
    assert (rollout.status, rollout.stop_reason) == ("completed", "environment")
    said = [(m.role, m.text) for m in rollout.messages]
    assert said[:4] == [
        ("user", "Count."),
        ("user", "The counter is at 0."),
        ("assistant", "What now?"),
        ("user", "The counter is at 0."),
    ]
    assert said[5] == ("tool", "1")
    steps = gym.bodies("/step")
    assert [len(step["response"]["output"]) for step in steps] == [1, 1, 1]
    assert len({step["_ng_step_request_id"] for step in steps}) == 3
    assert rollout.extra["verify"]["terminated"] is True


def test_a_server_that_truncates_or_a_limit_of_ours_ends_an_attempt(tmp_path):
    with FakeGym(steps=True) as gym:
        (rollout,), _ = play(gym, scripted("Hm."), tmp_path)
        assert (rollout.status, rollout.stop_reason, rollout.turns) == (
            "truncated", "environment", 5,
        )  # fmt: skip
        (rollout,), _ = play(gym, scripted("Hm."), tmp_path, agent=ToolLoop(max_turns=2))
    assert (rollout.status, rollout.stop_reason, rollout.reward) == ("truncated", "max_turns", 0.5)
    assert len(gym.closed) == 2


def test_a_step_that_fails_is_a_failure_and_the_session_is_closed(tmp_path):
    with FakeGym(steps=True, faults={"/step": (500, "boom")}) as gym:
        rollouts, (failure,) = play(gym, scripted("Hm."), tmp_path)
    assert rollouts == []
    assert (failure.failure_class, failure.retryable) == ("environment_error", True)
    assert gym.closed == ["s0"]


def test_the_flavour_can_be_said_if_the_server_does_not(tmp_path):
    with FakeGym(steps=True, openapi=False) as gym:
        _, (failure,) = play(gym, scripted("Hm."), tmp_path, row(0))
        config = {"flavour": "gymnasium"}
        (rollout,), _ = play(gym, scripted("Hm."), tmp_path, row(0), config=config)
    assert (
        failure.failure_class == "environment_error"
    )  # it took the server for one of the other kind
    assert rollout.reward == 1.0


# -- agent servers ---------------------------------------------------------------------------------


def test_an_agent_server_makes_the_whole_attempt(tmp_path):
    with FakeGym() as gym:
        (rollout,), failures = play(
            gym, scripted("never asked"), tmp_path, scheme="nemo-gym-agent",
            sampling={"temperature": 0.5, "max_tokens": 9, "top_k": 4},
        )  # fmt: skip
    assert failures == []
    (body,) = gym.bodies("/run")
    params = body["responses_create_params"]
    assert (params["temperature"], params["max_output_tokens"]) == (0.5, 9)
    assert json.loads(params["metadata"]["extra_body"]) == {"top_k": 4}
    assert [m.role for m in rollout.messages] == ["user", "assistant", "tool", "assistant"]
    assert (rollout.reward, rollout.answer, rollout.turns) == (0.5, "4", 2)
    assert rollout.usage.prompt_tokens == 7
    (token_call,) = rollout.calls
    assert (token_call.prompt_messages, token_call.token_ids) == (3, [3])
    assert rollout.extra["verify"] == {"extracted": "4"}


@pytest.mark.parametrize(
    ("fault", "failure_class", "retryable"),
    [
        ((500, "Hit an exception"), "environment_error", True),
        ((200, {"reward": 1.0}), "agent_error", False),
        ((200, {"reward": 1.0, "response": {"output": [{"type": "x"}]}}), "agent_error", False),
        ((200, {"reward": None, "response": {"output": []}}), "verifier_error", False),
        (
            (200, {"reward": 0.0, "_ng_failure_class": "remote_agent_error"}),
            "environment_error",
            True,
        ),
    ],
)
def test_a_failed_run_of_an_agent_server_is_a_failure(tmp_path, fault, failure_class, retryable):
    with FakeGym(faults={"/run": fault}) as gym:
        rollouts, (failure,) = play(gym, scripted("x"), tmp_path, scheme="nemo-gym-agent")
    assert rollouts == []
    assert (failure.failure_class, failure.retryable) == (failure_class, retryable)
