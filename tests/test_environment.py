import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos import (
    Config,
    ConfigError,
    EnvError,
    Environment,
    Message,
    SandboxError,
    Task,
    collect,
    group_reward,
    metric,
    reward,
    tool,
)
from athlos.testing import call, fake_model, scripted


class One(Environment):
    """One task, full marks."""

    @classmethod
    def tasks(cls, config, split):
        yield Task("Say something.", id="one")

    @reward
    def full(self, rollout):
        return 1.0


def run(env, model=None, **options):
    """Collects; returns the collection and its rollouts."""

    async def gather():
        return [rollout async for rollout in collection]

    collection = collect(env, model or scripted("Done."), **options)
    return collection, asyncio.run(gather())


def failure(env, model=None, **options):
    collection, rollouts = run(env, model, **options)
    assert rollouts == []
    (found,) = collection.failures
    return found


# -- Config ----------------------------------------------------------------------------------------


def test_without_a_config_there_are_no_settings():
    assert One.make_config() == Config()
    with pytest.raises(ConfigError, match="no setting 'size'") as raised:
        One.make_config({"size": 3})
    assert raised.value.hint == "Its settings are: none"


class Plain(One):
    class Config:
        """What can be set."""

        size: int
        rate: float = 0.5
        names: list[str] = ["a"]
        limit: int | None = None


class Structured(One):
    class Config(msgspec.Struct):
        size: int
        rate: float = 0.5
        names: list[str] = msgspec.field(default_factory=lambda: ["a"])
        limit: int | None = None


class Ours(One):
    class Config(Config):
        size: int
        rate: float = 0.5
        names: list[str] = msgspec.field(default_factory=lambda: ["a"])
        limit: int | None = None


class Data(One):
    @dataclass
    class Config:
        size: int
        rate: float = 0.5
        names: list[str] = field(default_factory=lambda: ["a"])
        limit: int | None = None


every_config = pytest.mark.parametrize("env", [Plain, Structured, Ours, Data])


@every_config
def test_settings_are_converted_and_completed(env):
    made = env.make_config({"size": "3", "limit": 7})
    assert (made.size, made.rate, made.names, made.limit) == (3, 0.5, ["a"], 7)
    assert env.make_config(made) is made
    assert env.Config(size=1).rate == 0.5


@every_config
def test_mutable_defaults_are_not_shared(env):
    env.make_config({"size": 1}).names.append("b")
    assert env.make_config({"size": 1}).names == ["a"]


@every_config
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "size"),
        (None, "size"),
        ({"size": "many"}, r"Expected `int`, got `str` - at `\$.size`"),
        ({"size": 1, "sise": 2}, "no setting 'sise'"),
        (["size"], "must be a mapping, not list"),
        ("size", "must be a mapping, not str"),
        (One.Config(), "must be a mapping, not Config"),
    ],
)
def test_wrong_settings_are_named_with_the_right_ones(env, settings, expected):
    with pytest.raises(ConfigError, match=expected) as raised:
        env.make_config(settings)
    for name in ("limit", "names", "rate", "size"):
        assert name in raised.value.hint


def test_settings_are_inherited_and_extended():
    class Same(Plain):
        pass

    class More(Plain):
        class Config(Plain.Config):
            extra: bool = False

    assert Same.make_config({"size": 2}).size == 2
    more = More.make_config({"size": 2, "extra": "true"})
    assert (more.size, more.rate, more.extra) == (2, 0.5, True)
    with pytest.raises(ConfigError, match="no setting 'extra'"):
        Plain.make_config({"size": 2, "extra": True})


def test_a_setting_without_a_type_is_refused():
    with pytest.raises(ConfigError, match=r"Untyped\.Config\.size has no type") as raised:

        class Untyped(One):
            class Config:
                size = 3

    assert raised.value.hint == "Write `size: int = 3`."


@every_config
def test_an_environment_with_settings_pickles(env):
    made = env(Task("x", info={"a": [1]}), config=env.make_config({"size": 4}), shared=object())
    made.state = {"count": 3}
    copy = pickle.loads(pickle.dumps(made))
    assert (copy.state, copy.config.size, copy.task) == ({"count": 3}, 4, made.task)
    for left_behind in (lambda: copy.shared["x"], lambda: copy.models["judge"]):
        with pytest.raises(EnvError, match="process=True"):
            left_behind()


# -- scorers ---------------------------------------------------------------------------------------


class Scored(One):
    @reward(weight=0.5)
    def half(self, rollout):
        return 1

    @metric
    def length(self, rollout):
        return len(rollout.answer)

    @group_reward(weight=2, timeout=3)
    def best(self, rollouts):
        return [1.0 for _ in rollouts]


def test_scorers_are_found_in_the_order_of_definition():
    assert [(s.name, s.kind, s.weight) for s in Scored.scorers] == [
        ("full", "reward", 1.0),
        ("half", "reward", 0.5),
        ("length", "metric", 0.0),
        ("best", "group_reward", 2),
    ]
    assert [s.name for s in One.scorers] == ["full"]


def test_a_subclass_overrides_a_scorer_with_another_or_with_none():
    class Child(Scored):
        full = None

        @reward(weight=3, timeout=1)
        def half(self, rollout):
            return 0

        def length(self, rollout):
            return 0

    assert [(s.name, s.weight, s.timeout) for s in Child.scorers] == [
        ("half", 3, 1),
        ("best", 2, 3),
    ]


def test_the_reward_is_the_weighted_sum_and_the_parts_are_kept():
    _, (rollout,) = run(Scored, scripted("Four"))
    assert rollout.rewards == {"full": 1.0, "half": 1.0, "best": 1.0}
    assert rollout.reward == 1 + 0.5 + 2
    assert rollout.metrics == {"length": 4.0}


def test_a_reward_of_a_worker_process_is_sync():
    with pytest.raises(ConfigError, match=r"E\.slow: a reward with process=True cannot be async"):

        class E(Environment):
            @reward(process=True)
            async def slow(self, rollout): ...


@pytest.mark.parametrize("mark", [reward, metric, group_reward])
def test_a_mark_without_a_method_says_how_to_write_it(mark):
    with pytest.raises(ConfigError, match=f"@{mark.__name__} marks a method, not 0.5") as raised:
        mark(0.5)
    assert f"@{mark.__name__}(" in raised.value.hint


def test_what_scores_is_a_plain_method():
    with pytest.raises(ConfigError, match=r"E\.r is a staticmethod"):

        class E(Environment):
            @staticmethod
            @reward
            def r(rollout): ...


@pytest.mark.parametrize("name", ["done", "seed", "task", "shared", "scorers", "version"])
def test_a_scorer_may_not_hide_what_every_environment_has(name):
    def score(self, rollout): ...

    score.__name__ = name
    with pytest.raises(ConfigError, match=f"E.{name} cannot be"):
        type("E", (Environment,), {name: reward(score)})


# -- sync and async --------------------------------------------------------------------------------


class Sync(Environment):
    @classmethod
    def tasks(cls, config, split):
        return [Task(f"Go to {split}.", id="go")]

    @classmethod
    @contextmanager
    def shared(cls, config) -> Iterator[list[str]]:
        log: list[str] = []
        yield log
        log.append("closed")
        cls.log = log

    def setup(self):
        self.shared.append("setup")

    @tool
    def step(self) -> int:
        self.shared.append("step")
        return 1

    def reply(self, message):
        self.shared.append("reply")
        return "again" if message.text == "no" else None

    @reward
    def r(self, rollout):
        self.shared.append("reward")
        return 1

    @metric
    def m(self, rollout):
        self.shared.append("metric")
        return 2

    @group_reward
    def g(self, rollouts):
        self.shared.append("group")
        return [3 for _ in rollouts]

    def teardown(self):
        self.shared.append("teardown")


class Async(Environment):
    @classmethod
    async def tasks(cls, config, split):
        await asyncio.sleep(0)
        yield Task(f"Go to {split}.", id="go")

    @classmethod
    @asynccontextmanager
    async def shared(cls, config) -> AsyncIterator[list[str]]:
        log: list[str] = []
        await asyncio.sleep(0)
        yield log
        log.append("closed")
        cls.log = log

    async def setup(self):
        await asyncio.sleep(0)
        self.shared.append("setup")

    @tool
    async def step(self) -> int:
        await asyncio.sleep(0)
        self.shared.append("step")
        return 1

    async def reply(self, message):
        await asyncio.sleep(0)
        self.shared.append("reply")
        return "again" if message.text == "no" else None

    @reward
    async def r(self, rollout):
        await asyncio.sleep(0)
        self.shared.append("reward")
        return 1

    @metric
    async def m(self, rollout):
        await asyncio.sleep(0)
        self.shared.append("metric")
        return 2

    @group_reward
    async def g(self, rollouts):
        await asyncio.sleep(0)
        self.shared.append("group")
        return [3 for _ in rollouts]

    async def teardown(self):
        await asyncio.sleep(0)
        self.shared.append("teardown")


@pytest.mark.parametrize("env", [Sync, Async])
def test_everything_may_be_sync_or_async(env):
    _, (rollout,) = run(env, scripted(call("step"), "no", "yes"))
    assert rollout.rewards == {"r": 1.0, "g": 3.0}
    assert rollout.metrics == {"m": 2.0}
    assert [m.text for m in rollout.messages] == ["Go to test.", "", "1", "no", "again", "yes"]
    assert env.log == [
        "setup", "step", "reply", "reply", "reward", "metric", "teardown", "group", "closed",
    ]  # fmt: skip


def test_shared_may_be_a_coroutine_that_returns_the_manager():
    @contextmanager
    def opened():
        yield "index"

    class E(One):
        @classmethod
        async def shared(cls, config):
            return opened()

        @reward
        def full(self, rollout):
            return self.shared == "index"

    _, (rollout,) = run(E)
    assert rollout.reward == 1


def test_nothing_is_shared_by_default_and_every_attempt_gets_the_same_otherwise():
    seen: list[Any] = []

    class E(One):
        def setup(self):
            seen.append(self.shared)

    class Same(E):
        @classmethod
        @contextmanager
        def shared(cls, config):
            yield {}

    run(E)
    assert seen == [None]
    run(Same, samples=4)
    assert all(found is seen[1] for found in seen[1:])


def test_a_shared_that_fails_at_its_end_says_whose_it_is():
    class E(One):
        @classmethod
        @contextmanager
        def shared(cls, config):
            yield "index"
            raise OSError("disk gone")

    with pytest.raises(EnvError, match=r"shared\(\) of e raised OSError: disk gone"):
        run(E)


@pytest.mark.parametrize("how", ["raise", "no manager", "raise inside"])
def test_a_shared_that_fails_says_whose_it_is(how):
    class E(One):
        @classmethod
        def shared(cls, config):
            if how == "raise":
                raise ValueError("no index")
            if how == "raise inside":
                return cls.broken()

        @classmethod
        @contextmanager
        def broken(cls):
            raise OSError("disk")
            yield

    with pytest.raises(Exception, match=r"shared\(\) of e raised"):
        run(E)


# -- an attempt ------------------------------------------------------------------------------------


def test_state_is_fresh_for_every_attempt():
    class E(One):
        def setup(self):
            self.seen = getattr(self, "seen", 0) + 1

        @reward
        def full(self, rollout):
            return self.seen

    _, rollouts = run(E, samples=5)
    assert [r.reward for r in rollouts] == [1] * 5


class Dice(One):
    @classmethod
    def tasks(cls, config, split):
        for index in range(3):
            yield Task("Roll.", id=str(index))

    @metric
    def rolled(self, rollout):
        return self.rng.randrange(10**9)

    @metric
    def again(self, rollout):
        return self.rng.randrange(10**9)


def rolls(**options):
    _, rollouts = run(Dice, samples=2, **options)
    return {(r.task_id, r.sample): tuple(r.metrics.values()) for r in rollouts}


def test_random_numbers_follow_from_seed_task_and_sample():
    first = rolls(seed=7)
    assert first == rolls(seed=7, concurrency=1)
    assert len({number for pair in first.values() for number in pair}) == 12
    assert not set(first.values()) & set(rolls(seed=8).values())
    assert rolls() == rolls()


@given(st.integers())
def test_two_instances_of_one_seed_draw_the_same(seed):
    a, b = (One(Task("x"), seed=seed) for _ in range(2))
    assert [a.rng.random() for _ in range(3)] == [b.rng.random() for _ in range(3)]


def test_done_ends_the_attempt_after_the_turn():
    class E(One):
        @tool
        def finish(self) -> str:
            self.done = True
            return "over"

    _, (rollout,) = run(E, scripted(call("finish")))
    assert (rollout.status, rollout.stop_reason, rollout.turns) == ("completed", "environment", 1)
    assert rollout.messages[-1].text == "over"


def test_setup_may_replace_the_task():
    class E(One):
        @tool
        def a(self): ...

        @tool
        def b(self): ...

        def setup(self):
            opening = [Message("system", "Be brief."), Message("user", "Made up.")]
            self.task = Task(opening, info={"answer": 5}, tools=["b"])

        @reward
        def full(self, rollout):
            return self.task.info["answer"]

    _, (rollout,) = run(E, scripted(call("a"), "5"))
    assert [m.text for m in rollout.messages][:2] == ["Be brief.", "Made up."]
    assert "The tools are: b." in rollout.messages[3].text
    assert (rollout.reward, rollout.task_id) == (5, "one")


def test_a_replaced_task_may_only_offer_tools_that_there_are():
    class E(One):
        def setup(self):
            self.task = Task("x", tools=["missing"])

    found = failure(E)
    assert found.failure_class == "environment_error"
    assert "'missing'" in found.message


def test_a_task_offers_some_of_the_tools():
    class E(One):
        @classmethod
        def tasks(cls, config, split):
            for tools in (None, [], ["a"]):
                yield Task("x", tools=tools)

        @tool
        def a(self): ...

        @tool
        def b(self): ...

    offered = [list(E(task).offered_tools()) for task in E.tasks(None, "test")]
    assert offered == [["a", "b"], [], ["a"]]


def test_an_environment_without_tasks_says_what_to_do():
    class E(Environment):
        @reward
        def r(self, rollout): ...

    with pytest.raises(ConfigError, match="E has no tasks of its own") as raised:
        run(E)
    assert "--tasks" in raised.value.hint


def test_a_model_by_role():
    class E(One):
        @reward
        async def full(self, rollout):
            reply = await self.models["judge"].chat([Message("user", rollout.answer)])
            return float(reply.message.text)

    judge = fake_model(lambda messages: str(len(messages[-1].text)))
    _, (rollout,) = run(E, scripted("four"), models={"judge": judge})
    assert rollout.reward == 4

    found = failure(E, models={"user": judge})
    assert found.failure_class == "config_error"
    assert "'judge'" in found.message
    assert "there are: user" in found.message


# -- teardown --------------------------------------------------------------------------------------


class Closing(One):
    """Counts what it opens and closes."""

    open = 0
    fails = ""

    def enter(self, what):
        if self.fails == what:
            raise ValueError(f"{what} is broken")

    def setup(self):
        type(self).open += 1
        self.enter("setup")

    def reply(self, message):
        self.enter("reply")

    @reward
    def full(self, rollout):
        self.enter("reward")
        return 1

    async def teardown(self):
        await asyncio.sleep(0)
        type(self).open -= 1
        self.enter("teardown")


@pytest.mark.parametrize(
    ("fails", "failure_class"),
    [
        ("setup", "environment_error"),
        ("reply", "environment_error"),
        ("reward", "verifier_error"),
        ("teardown", "environment_error"),
    ],
)
def test_teardown_runs_after_a_failure_and_its_own_failure_counts(fails, failure_class):
    env = type("E", (Closing,), {"fails": fails})
    found = failure(env)
    assert env.open == 0
    assert found.failure_class == failure_class
    assert f"{fails} is broken" in found.message
    assert "is broken" in found.traceback


@pytest.mark.parametrize("error", [ValueError("second"), SandboxError("second"), SystemExit(3)])
def test_the_first_error_is_the_one_that_is_reported(error):
    class E(Closing):
        fails = "reward"

        def teardown(self):
            raise error

    found = failure(E)
    assert found.failure_class == "verifier_error"
    assert "reward is broken" in found.message


def hang(messages):
    return asyncio.sleep(3600)


def test_teardown_runs_after_a_timeout():
    env = type("E", (Closing,), {})
    assert failure(env, fake_model(hang), deadline=0.01).failure_class == "timeout"
    assert env.open == 0


def test_teardown_runs_to_its_end_after_a_cancellation():
    env = type("E", (Closing,), {})

    async def main():
        collection = collect(env, fake_model(hang), samples=3)
        running = asyncio.create_task(collection.run())
        async with asyncio.timeout(10):
            while env.open < 3:
                await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert env.open == 0


def test_a_teardown_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("athlos.engine.attempt._TEARDOWN_TIMEOUT", 0.01)

    class E(One):
        async def teardown(self):
            await asyncio.sleep(3600)

    found = failure(E)
    assert found.failure_class == "environment_error"
    assert "teardown() took longer than 0.01 s" in found.message
