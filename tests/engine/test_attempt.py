import asyncio
import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos import (
    AgentError,
    ConfigError,
    Environment,
    Failure,
    JudgeError,
    Message,
    Model,
    ModelError,
    Rollout,
    SandboxError,
    Task,
    ToolLoop,
    reward,
    tool,
)
from athlos.engine.attempt import ENDING, Attempts, Job, derive_seed
from athlos.testing import FakeTransport, call, fake_model, scripted


class Env(Environment):
    """Raises what a test wants, where it wants it."""

    name = "env"
    where = ""
    error: BaseException = ValueError("broken")

    def at(self, where):
        if self.where == where:
            raise self.error

    def setup(self):
        self.at("setup")

    @tool
    async def step(self) -> str:
        self.at("tool")
        return "ok"

    def reply(self, message):
        self.at("reply")

    @reward
    def r(self, rollout):
        self.at("reward")
        return 1

    def teardown(self):
        self.at("teardown")


JOB = Job(Task("x", id="t"), 0, 0)


def attempts(env=Env, model=None, **options):
    settings = {
        "config": None,
        "shared": None,
        "models": {},
        "agent": ToolLoop(),
        "sampling": {},
        "seed": None,
        "deadline": 60.0,
        "pool": None,
        **options,
    }
    return Attempts(env=env, model=model or scripted(call("step"), "Done."), **settings)


def attempt(env=Env, model=None, *, job=JOB, **options):
    """One attempt, by itself."""

    async def run():
        return await attempts(env, model, **options).run(job)

    return asyncio.run(run())


def failing(where, error=None):
    return type("E", (Env,), {"where": where, "error": error or ValueError("broken")})


def test_an_attempt_ends_as_a_rollout():
    before = time.time()
    found = attempt(job=Job(JOB.task, 0, 2, 1))
    assert isinstance(found, Rollout)
    assert (found.id, found.task_id, found.sample, found.attempt) == ("t.2.1", "t", 2, 1)
    assert (found.environment, found.model) == ("env", "scripted")
    assert (found.reward, found.status, found.turns, found.tool_calls) == (1, "completed", 2, 1)
    timing = found.timing
    assert before <= timing.started <= time.time()
    assert 0 < timing.model + timing.environment + timing.scoring <= timing.duration


@pytest.mark.parametrize(
    ("where", "failure_class"),
    [
        ("setup", "environment_error"),
        ("reply", "environment_error"),
        ("reward", "verifier_error"),
        ("teardown", "environment_error"),
    ],
)
@pytest.mark.parametrize(
    "error", [ValueError("broken"), SystemExit("broken"), TimeoutError("broken")]
)
def test_an_error_is_attributed_where_it_was_raised(where, failure_class, error):
    found = attempt(failing(where, error))
    assert isinstance(found, Failure)
    assert found.failure_class == failure_class
    assert type(error).__name__ in found.message
    assert "broken" in found.message
    assert f'self.at("{where}")' in found.traceback
    assert not found.retryable


@pytest.mark.parametrize(
    ("error", "failure_class", "retryable"),
    [
        (JudgeError("x"), "judge_error", True),
        (SandboxError("x"), "sandbox_error", True),
        (ModelError("x", retryable=True), "model_error", True),
        (ConfigError("x"), "config_error", False),
    ],
)
@pytest.mark.parametrize("where", ["setup", "tool", "reply", "reward", "teardown"])
def test_an_error_of_ours_keeps_its_class_wherever_it_was_raised(
    where, error, failure_class, retryable
):
    found = attempt(failing(where, error))
    assert (found.failure_class, found.retryable) == (failure_class, retryable)


@pytest.mark.parametrize("where", ["setup", "tool", "reply", "reward", "teardown"])
def test_a_cancellation_that_nobody_asked_for_is_a_failure(where):
    found = attempt(failing(where, asyncio.CancelledError()))
    assert found.failure_class == "environment_error"
    assert "CancelledError" in found.message


def test_an_error_in_a_tool_is_for_the_model_and_no_failure():
    found = attempt(failing("tool", SystemExit(1)))
    assert (found.reward, found.tool_errors) == (1, 1)


def test_a_constructor_that_raises_is_the_environments():
    class E(Env):
        def __init__(self, *args, **kwargs):
            raise ValueError("no room")

    found = attempt(E)
    assert found.failure_class == "environment_error"
    assert "no room" in found.message


def test_an_agent_that_raises_is_the_agents():
    class Clumsy:
        async def run(self, env, model, rollout, sampling):
            rollout.messages.append(Message("assistant", "so far"))
            raise ValueError("tripped")

        def settings(self):
            return {}

    found = attempt(agent=Clumsy())
    assert found.failure_class == "agent_error"
    assert AgentError.failure_class == "agent_error"
    assert "tripped" in found.message
    assert found.messages[-1].text == "so far"


def test_a_failure_keeps_what_was_known_until_then():
    found = attempt(failing("reward"), job=Job(JOB.task, 0, 3, 2))
    assert (found.id, found.task_id, found.sample, found.attempt) == ("t.3.2", "t", 3, 2)
    assert (found.environment, found.model) == ("env", "scripted")
    assert [m.role for m in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert len(found.calls) == 2
    assert found.usage.completion_tokens > 0
    assert found.timing.duration > 0


def test_a_model_that_refuses_is_a_failure_of_the_model():
    def refuse(method, path, request):
        return 400, {"error": {"message": "no such parameter"}}

    found = attempt(model=Model(name="m", transport=FakeTransport(refuse)))
    assert found.failure_class == "model_error"
    assert "no such parameter" in found.message
    assert not found.retryable


@pytest.mark.parametrize("where", ["setup", "tool", "reply", "reward"])
def test_the_deadline_ends_an_attempt_wherever_it_is(where):
    async def plain(self, *args):
        await asyncio.sleep(3600)

    async def step(self):
        await asyncio.sleep(3600)

    async def r(self, rollout):
        await asyncio.sleep(3600)

    name = {"tool": "step", "reward": "r"}.get(where, where)
    made = {"tool": tool(step), "reward": reward(r)}.get(where, plain)
    found = attempt(type("E", (Env,), {name: made}), deadline=0.02)
    assert found.failure_class == "timeout"
    assert found.message == "the attempt did not end within 0.02 s"
    assert found.retryable
    assert found.traceback == ""


def test_a_model_that_hangs_is_a_timeout_too():
    found = attempt(model=fake_model(lambda messages: asyncio.sleep(3600)), deadline=0.02)
    assert found.failure_class == "timeout"
    assert [m.text for m in found.messages] == ["x"]


@pytest.mark.parametrize("ends", [True, False])
def test_only_the_engine_ends_a_worker(ends):
    async def main():
        reached = asyncio.Event()

        async def hang(messages):
            reached.set()
            await asyncio.sleep(3600)

        running = asyncio.create_task(attempts(model=fake_model(hang)).run(JOB))
        await reached.wait()
        if ends:
            running.cancel(ENDING)
            with pytest.raises(asyncio.CancelledError):
                await running
            return
        running.cancel()
        found = await running
        assert isinstance(found, Failure)
        assert (found.failure_class, found.retryable) == ("cancelled", True)

    asyncio.run(main())


class Panic(BaseException):
    """As Rust libraries raise it."""


@pytest.mark.parametrize("where", ["setup", "tool", "reply", "reward", "teardown"])
def test_a_panic_is_a_failure_of_the_environment(where):
    found = attempt(failing(where, Panic("broken")))
    assert found.failure_class == "environment_error"
    assert "Panic: broken" in found.message


def test_a_deadline_that_was_kept_quiet_about_still_counts():
    class Stubborn(Env):
        async def setup(self):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    found = attempt(Stubborn, deadline=0.05)
    assert found.failure_class == "timeout"


def test_text_that_no_file_can_hold_is_replaced_in_a_failure():
    found = attempt(failing("reward", ValueError("a\ud800b")))
    assert "a?b" in found.message
    (found.message + found.traceback).encode()


def test_the_runs_sampling_wins_over_the_tasks():
    asked = []

    def answer(method, path, request):
        asked.append(request)
        return 200, {"choices": [{"message": {"content": "Done."}}]}

    model = Model(name="m", transport=FakeTransport(answer), sampling={"top_k": 1})
    task = Task("x", id="t", sampling={"temperature": 1, "top_p": 0.5})
    attempt(model=model, job=Job(task, 0, 0), sampling={"temperature": 0}, seed=5)
    (request,) = asked
    assert (request["temperature"], request["top_p"], request["top_k"]) == (0, 0.5, 1)
    assert request["seed"] == derive_seed(5, "t", 0)


@given(st.integers(), st.text(), st.integers(0))
def test_a_seed_has_31_bits_and_follows_from_all_three(seed, task, sample):
    found = derive_seed(seed, task, sample)
    assert 0 <= found < 2**31
    assert found == derive_seed(seed, task, sample)
    assert len({found, *(derive_seed(seed, task, sample + i) for i in range(1, 4))}) == 4
