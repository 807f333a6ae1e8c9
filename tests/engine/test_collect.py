import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import tempfile
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import athlos
from athlos import (
    ConfigError,
    Environment,
    Message,
    ModelError,
    Task,
    ToolLoop,
    collect,
    read_rollouts,
    reward,
    tool,
)
from athlos.engine.attempt import derive_seed
from athlos.runs.read import read_failures, read_tasks
from athlos.testing import call, fake_model, scripted


class Echo(Environment):
    """Rewards by task number."""

    count = 10

    @classmethod
    def tasks(cls, config, split):
        for index in range(cls.count):
            yield Task(f"Say {index}.", info={"index": index}, id=f"t{index}")

    @reward
    def value(self, rollout):
        return self.task.info["index"]


def echo(count=10, **attributes):
    return type("Echo", (Echo,), {"count": count, **attributes})


DONE = scripted("Done.")


def run(env, model=None, **options):
    """Collects; returns the collection and its rollouts."""

    async def gather():
        return [rollout async for rollout in collection]

    collection = collect(env, model or DONE, **options)
    return collection, asyncio.run(gather())


def others():
    """Tasks of the running loop besides this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"samples": 0}, "samples must be at least 1"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"deadline": 0}, "deadline must be more than 0"),
        ({"sampling": {"n": 2}}, "'n' is no sampling parameter"),
        ({"config": {"x": 1}}, "no setting 'x'"),
        ({"tasks": "nowhere.jsonl"}, r"cannot read tasks from nowhere\.jsonl"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(options, expected):
    with pytest.raises(ConfigError, match=expected):
        collect(Echo, DONE, **options)


def test_a_model_that_is_not_there_is_refused_before_any_attempt():
    model = scripted("x", name="a")
    model._name = "b"
    with pytest.raises(ConfigError, match="no model 'b'"):
        run(Echo, model)


# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 100])
def test_every_sample_of_every_task_ends_once(concurrency):
    collection, rollouts = run(Echo, samples=3, concurrency=concurrency)
    assert sorted((r.task_id, r.sample) for r in rollouts) == sorted(
        (f"t{index}", sample) for index in range(10) for sample in range(3)
    )
    assert len({r.id for r in rollouts}) == 30
    assert collection.failures == []
    assert collection.done == collection.offered == 30
    assert collection.in_flight == 0
    assert collection.summary().reward.mean == 4.5


def test_the_limit_is_a_number_of_tasks():
    collection, rollouts = run(Echo, samples=2, limit=3)
    assert {r.task_id for r in rollouts} == {"t0", "t1", "t2"}
    assert collection.offered == 6


def test_run_returns_the_summary():
    summary = asyncio.run(collect(Echo, DONE).run())
    assert summary.accounting.scored == 10


def test_a_collection_is_iterated_once():
    collection, _ = run(Echo)
    with pytest.raises(ConfigError, match="iterated once"):
        asyncio.run(collection.run())


def test_tasks_may_be_objects_or_a_file(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"prompt": "a", "index": 5}\n{"prompt": "b", "index": 7, "id": "seven"}\n')
    _, rollouts = run(Echo, tasks=path)
    assert sorted(r.reward for r in rollouts) == [5, 7]
    _, rollouts = run(Echo, tasks=[Task("a", info={"index": 3})])
    assert [r.reward for r in rollouts] == [3]


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([], "has no tasks in split"),
        ([5], "must yield Task objects, not int"),
        ([Task("")], "task 0 has no prompt"),
        ([Task("x", info={"a": object()})], "task 0 cannot be written as JSON"),
        ([Task("x"), Task("a\ud800")], "task 1 cannot be written as JSON"),
        ([Task("x", tools=["gone"])], "offers a tool 'gone'"),
    ],
)
def test_a_task_that_is_unusable_is_named(tasks, expected):
    with pytest.raises(ConfigError, match=expected):
        run(echo(tasks=classmethod(lambda cls, config, split: tasks)))


@pytest.mark.parametrize("error", [ValueError("no data"), SystemExit("no data")])
def test_tasks_that_raise_are_named(error):
    def tasks(cls, config, split):
        yield Task("x")
        raise error

    with pytest.raises(ConfigError, match=r"echo: tasks\(\) raised \w+: no data"):
        run(echo(tasks=classmethod(tasks)))


def test_endless_tasks_need_a_limit(monkeypatch):
    monkeypatch.setattr("athlos.engine.plan._MANY", 50)

    def tasks(cls, config, split):
        index = 0
        while True:
            yield Task(f"Say {(index := index + 1)}.", info={"index": index})

    env = echo(tasks=classmethod(tasks))
    with pytest.raises(ConfigError, match="more than 50 tasks") as raised:
        run(env)
    assert "--limit" in raised.value.hint
    assert len(run(env, limit=4)[1]) == 4


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(["", "a", "a-1", "a-2", "b", "b-1"]), min_size=1, max_size=12),
    st.integers(1, 12),
)
def test_tasks_of_one_name_get_names_of_their_own_whatever_the_limit(ids, limit):
    found = [Task("same", id=name, info={"index": 1}) for name in ids]
    _, rollouts = run(Echo, tasks=found, concurrency=1)
    named = [r.task_id for r in rollouts]
    assert len(set(named)) == len(ids)
    assert all(name.startswith(given) for name, given in zip(named, ids, strict=True))
    _, fewer = run(Echo, tasks=found, concurrency=1, limit=limit)
    assert [r.task_id for r in fewer] == named[:limit]


# -- isolation -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), asyncio.CancelledError(), RecursionError("x")]
)
@pytest.mark.parametrize("where", ["setup", "reply", "value", "teardown", "both tools"])
def test_an_attempt_that_fails_leaves_the_others_alone(where, error):
    def fail(self, *args):
        if self.task.info["index"] == 4:
            raise error
        return float(self.task.info["index"]) if where == "value" else None

    @tool
    async def one(self):
        fail(self)

    @tool
    async def two(self):
        fail(self)

    methods = {"one": one, "two": two}
    if where != "both tools":
        methods[where] = reward(fail) if where == "value" else fail
    twice = Message("assistant", tool_calls=[*call("one").tool_calls, *call("two").tool_calls])
    model = scripted(twice, "Done.") if where == "both tools" else DONE
    collection, rollouts = run(echo(**methods), model, concurrency=2)
    failed = {f.task_id for f in collection.failures}
    told = where == "both tools" and not isinstance(error, asyncio.CancelledError)
    assert failed == (set() if told else {"t4"})
    assert len(rollouts) + len(failed) == 10
    assert collection.done == 10


class Strange(Echo):
    """Puts into the record of one attempt what JSON cannot hold."""

    where = ""
    value: object = None

    def reply(self, message):
        if self.where == "reply" and self.task.info["index"] == 4:
            self.done = True
            return Message("user", self.value)
        return None

    @reward
    def value_(self, rollout):
        if self.task.info["index"] == 4:
            if self.where == "extra":
                rollout.extra["x"] = self.value
            if self.where == "messages":
                rollout.messages.append(Message("user", self.value))
            if self.where == "failing":
                rollout.messages.append(Message("user", self.value))
                raise ValueError("and more")
        return 0


def nest(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [object(), "a\ud800b", nest(100_000)], ids=["object", "surrogate", "deep"]
)
@pytest.mark.parametrize("where", ["extra", "messages", "failing", "reply"])
def test_a_record_that_cannot_be_written_is_a_failure_of_its_attempt(tmp_path, where, value):
    env = type("E", (Strange,), {"where": where, "value": value, "count": 6})
    collection, rollouts = run(env, out=tmp_path / "a")
    (failure,) = collection.failures
    expected = "verifier_error" if where == "failing" else "environment_error"
    assert (failure.task_id, failure.failure_class) == ("t4", expected)
    assert [f.id for f in read_failures(tmp_path / "a")] == ["t4.0.0"]
    stored = {r.task_id for r in read_rollouts(tmp_path / "a")}
    assert stored == {r.task_id for r in rollouts} == {"t0", "t1", "t2", "t3", "t5"}


def test_without_a_folder_a_record_may_hold_anything():
    value = object()
    env = type("E", (Strange,), {"where": "extra", "value": value})
    collection, rollouts = run(env)
    assert collection.failures == []
    assert [r.extra["x"] for r in rollouts if r.extra] == [value]


# -- concurrency -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 30))
def test_as_many_attempts_as_allowed_are_under_way_and_never_more(concurrency, count):
    running = most = 0

    async def answer(messages):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return "Done."

    run(echo(count), fake_model(answer), concurrency=concurrency)
    assert most == min(concurrency, count)


def test_a_slow_consumer_holds_the_collection_back():
    asked = 0

    def answer(messages):
        nonlocal asked
        asked += 1
        return "Done."

    async def main():
        behind = []
        taken = 0
        async for _ in collect(echo(200), fake_model(answer), concurrency=4):
            taken += 1
            for _ in range(20):
                await asyncio.sleep(0)
            behind.append(asked - taken)
        return taken, max(behind)

    taken, behind = asyncio.run(main())
    assert taken == 200
    assert behind <= 3 * 4


# -- ending early ----------------------------------------------------------------------------------


def hanging_after(count):
    """A model that answers so many times and then not any more."""
    asked = 0

    async def answer(messages):
        nonlocal asked
        asked += 1
        if asked > count:
            await asyncio.sleep(3600)
        return "Done."

    return fake_model(answer, name="scripted")


class Closing(Echo):
    open = 0
    shared_open = 0

    @classmethod
    @contextlib.contextmanager
    def shared(cls, config):
        cls.shared_open += 1
        try:
            yield
        finally:
            cls.shared_open -= 1

    def setup(self):
        type(self).open += 1

    async def teardown(self):
        await asyncio.sleep(0)
        type(self).open -= 1


def closing():
    return type("Closing", (Closing,), {})


@pytest.mark.parametrize("out", [True, False])
def test_breaking_off_leaves_nothing_behind(tmp_path, out):
    env = closing()

    async def main():
        folder = tmp_path / "a" if out else None
        async for _ in collect(env, hanging_after(3), concurrency=4, out=folder):
            break
        gc.collect()
        await until(lambda: not others())

    asyncio.run(main())
    assert (env.open, env.shared_open) == (0, 0)
    if out:
        _, rollouts = run(env, out=tmp_path / "a")
        assert {r.task_id for r in read_rollouts(tmp_path / "a")} == {f"t{i}" for i in range(10)}
        assert 0 < len(rollouts) < 10


def test_an_error_of_the_consumer_leaves_nothing_behind():
    env = closing()

    async def main():
        with pytest.raises(ZeroDivisionError):
            async with contextlib.aclosing(aiter(collect(env, hanging_after(3)))) as rollouts:
                async for _ in rollouts:
                    raise ZeroDivisionError
        return others()

    assert asyncio.run(main()) == set()
    assert (env.open, env.shared_open) == (0, 0)


def test_stop_lets_what_is_under_way_end(tmp_path):
    env = closing()

    async def main():
        model = fake_model(lambda _: "Done.", latency=0.05)
        collection = collect(env, model, concurrency=2, out=tmp_path / "a")
        count = 0
        async for _ in collection:
            count += 1
            collection.stop()
        return collection, count

    collection, count = asyncio.run(main())
    assert collection.stopped
    assert 1 <= count < 10
    assert env.open == 0
    accounting = collection.summary().accounting
    assert (accounting.scored, accounting.failed, accounting.owed) == (count, 0, 10 - count)
    metrics = json.loads((tmp_path / "a/metrics.json").read_text())
    assert metrics["accounting"]["owed"] == 10 - count
    assert len(list(read_rollouts(tmp_path / "a"))) == count


def test_stop_waits_for_those_under_way():
    release = asyncio.Event()

    async def answer(messages):
        await release.wait()
        return "Done."

    async def main():
        collection = collect(Echo, fake_model(answer), concurrency=3)
        running = asyncio.create_task(collection.run())
        await until(lambda: collection.in_flight == 3)
        collection.stop()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not running.done()
        assert collection.in_flight == 3
        release.set()
        return await running

    accounting = asyncio.run(main()).accounting
    assert (accounting.scored, accounting.owed) == (3, 7)


def test_drop_cancels_what_is_under_way_and_keeps_the_rest():
    env = closing()

    async def main():
        collection = collect(env, hanging_after(4), concurrency=3)
        running = asyncio.create_task(collection.run())
        await until(lambda: collection.done == 4 and collection.in_flight == 3)
        collection.drop()
        summary = await running
        return summary, collection.failures, others()

    summary, failures, left = asyncio.run(main())
    accounting = summary.accounting
    assert (accounting.scored, accounting.failed) == (4, 0)
    assert (accounting.cancelled, accounting.owed) == (3, 3)
    assert [failure.failure_class for failure in failures] == ["cancelled"] * 3
    assert left == set()
    assert (env.open, env.shared_open) == (0, 0)


@pytest.mark.parametrize("how", ["stop", "drop"])
def test_a_collection_may_be_ended_before_it_began(how):
    collection = collect(Echo, DONE)
    getattr(collection, how)()
    summary = asyncio.run(collection.run())
    assert summary.accounting.owed == 10


# -- the run folder --------------------------------------------------------------------------------


def test_a_run_is_written_and_doing_it_again_asks_nothing(tmp_path):
    out = tmp_path / "a"
    _, rollouts = run(Echo, samples=2, out=out)
    assert sorted(r.id for r in read_rollouts(out)) == sorted(r.id for r in rollouts)
    assert [task.id for task in read_tasks(out)] == [f"t{index}" for index in range(10)]
    before = json.loads((out / "metrics.json").read_text())

    def never(messages):
        raise AssertionError("nothing is left to ask")

    again, rollouts = run(Echo, fake_model(never, name="scripted"), samples=2, out=out)
    assert rollouts == []
    assert (again.resumed, again.done, again.offered) == (20, 20, 20)
    assert json.loads((out / "metrics.json").read_text()) == before


def test_failed_samples_are_attempted_again(tmp_path):
    def answer(messages):
        if messages[0].text in ("Say 2.", "Say 3."):
            raise ModelError("down")
        return "Done."

    out = tmp_path / "a"
    first, _ = run(Echo, fake_model(answer, name="scripted"), out=out)
    assert {f.id for f in first.failures} == {"t2.0.0", "t3.0.0"}
    assert first.summary().accounting.failed == 2
    second, rollouts = run(Echo, out=out)
    assert {r.id for r in rollouts} == {"t2.0.1", "t3.0.1"}
    accounting = second.summary().accounting
    assert (accounting.scored, accounting.failed, accounting.owed) == (10, 0, 0)
    assert second.summary().failed_attempts == {"model_error": 2}


@pytest.mark.parametrize(
    ("before", "after"), [((2, 4), (3, 4)), ((1, 3), (1, 10)), ((1, 2), (2, 5))]
)
def test_samples_and_limit_may_grow(tmp_path, before, after):
    out = tmp_path / "a"
    run(Echo, samples=before[0], limit=before[1], out=out)
    collection, rollouts = run(Echo, samples=after[0], limit=after[1], out=out)
    assert collection.resumed == before[0] * before[1]
    assert len(rollouts) == after[0] * after[1] - before[0] * before[1]
    assert len(list(read_rollouts(out))) == after[0] * after[1]
    assert len(read_tasks(out)) == after[1]
    run(Echo, samples=after[0], limit=after[1], out=out)


def test_without_a_limit_a_run_takes_all_and_may_not_shrink(tmp_path):
    out = tmp_path / "a"
    run(Echo, limit=3, out=out)
    _, rollouts = run(Echo, out=out)
    assert len(rollouts) == 7
    with pytest.raises(ConfigError, match="limit was not set, is now 3"):
        run(Echo, limit=3, out=out)


@pytest.mark.parametrize("what", ["other ids", "other content", "fewer"])
def test_tasks_that_change_from_call_to_call_are_refused_when_a_run_grows(tmp_path, what):
    asked = 0

    def tasks(cls, config, split):
        nonlocal asked
        asked += 1
        for index in range(3 if what == "fewer" and asked > 1 else 10):
            name = f"t{index}" if what != "other ids" else ""
            text = f"Say {index}." if what == "fewer" else f"Say {index} ({asked})."
            yield Task(text, info={"index": index}, id=name)

    env = echo(tasks=classmethod(tasks))
    out = tmp_path / "a"
    run(env, limit=5, out=out)
    with pytest.raises(ConfigError, match="than when the run began") as raised:
        run(env, limit=8, out=out)
    assert "same tasks each time" in raised.value.hint
    assert len(list(read_rollouts(out))) == 5


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"sampling": {"temperature": 0.5}}, "sampling.temperature"),
        ({"seed": 1}, "seed"),
        ({"split": "train"}, "split"),
        ({"agent": ToolLoop(max_turns=3)}, "agent.max_turns"),
        ({"samples": 1}, "samples"),
        ({"limit": 4}, "limit"),
        ({"tasks": [Task("a", info={"index": 0})]}, "tasks_digest"),
    ],
)
def test_another_configuration_is_refused_with_what_differs(tmp_path, options, field):
    out = tmp_path / "a"
    same = {"samples": 2, "limit": 5}
    run(Echo, **same, out=out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ConfigError, match=f"{field} was") as raised:
        run(Echo, **{**same, **options}, out=out)
    assert raised.value.message.count(" was ") == 1
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_settings_that_json_writes_another_way_are_the_same(tmp_path):
    class E(Echo):
        class Config:
            pair: tuple[int, int] = (1, 2)
            some: set[int] = {1, 2}

    options = {"sampling": {"stop": ("a", "b"), "logit_bias": {5: 1}}, "limit": 2}
    run(E, **options, out=tmp_path / "a")
    collection, rollouts = run(E, **options, out=tmp_path / "a")
    assert (collection.resumed, rollouts) == (2, [])


def test_two_collections_do_not_write_one_folder(tmp_path):
    async def main():
        first = collect(Echo, hanging_after(2), concurrency=2, out=tmp_path / "a")
        running = asyncio.create_task(first.run())
        await until(lambda: first.done == 2)
        with pytest.raises(ConfigError, match="is being written"):
            await collect(Echo, DONE, out=tmp_path / "a").run()
        first.drop()
        await running

    asyncio.run(main())
    assert len(list(read_rollouts(tmp_path / "a"))) == 2


def test_a_run_that_was_killed_lost_nothing_that_was_handed_out(tmp_path):
    (tmp_path / "killed.py").write_text(
        textwrap.dedent("""
        import asyncio, os, signal
        import athlos
        from athlos.testing import scripted

        async def main():
            seen = 0
            async for rollout in athlos.collect("counter", scripted("Done."), out="a", limit=50):
                print(rollout.id, flush=True)
                seen += 1
                if seen == 20:
                    os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """)
    )
    done = subprocess.run(
        [sys.executable, "killed.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    handed_out = done.stdout.split()
    assert len(handed_out) == 20
    assert set(handed_out) <= {r.id for r in read_rollouts(tmp_path / "a")}
    collection, _ = run("counter", scripted("Done."), out=tmp_path / "a", limit=50)
    assert collection.summary().accounting.scored == 50
    assert len({(r.task_id, r.sample) for r in read_rollouts(tmp_path / "a")}) == 50


# -- accounting ------------------------------------------------------------------------------------

OUTCOMES = ("answer", "truncate", "model", "setup", "reward", "nan", "cancel", "exit", "record")


class Fated(Environment):
    """Ends each sample as its task's schedule says."""

    def fate(self):
        return self.task.info["fates"][self.seed_sample]

    def setup(self):
        self.seed_sample = int(self.task.info["samples"].index(self.seed))
        self.do("setup", ValueError("x"))
        self.do("cancel", asyncio.CancelledError())
        self.task = Task(self.fate(), info=self.task.info)

    def do(self, fate, error):
        if self.fate() == fate:
            raise error

    def reply(self, message):
        return "more" if self.fate() == "truncate" else None

    @reward
    def r(self, rollout):
        self.do("reward", ValueError("x"))
        self.do("exit", SystemExit(1))
        if self.fate() == "record":
            rollout.extra["x"] = object()
        return float("nan") if self.fate() == "nan" else self.task.info["value"]


def fated_answer(messages):
    if messages[0].text == "model":
        raise ModelError("down")
    return "Done."


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_sample_is_accounted_for_and_failures_never_enter_the_mean(data):
    samples = data.draw(st.integers(1, 3))
    schedule = data.draw(
        st.lists(
            st.lists(st.sampled_from(OUTCOMES), min_size=samples, max_size=samples),
            min_size=1,
            max_size=6,
        )
    )
    concurrency = data.draw(st.integers(1, 8))
    tasks = [
        Task(
            "x",
            id=f"t{index}",
            info={
                "fates": fates,
                "value": index / 8,
                "samples": [derive_seed(0, f"t{index}", sample) for sample in range(samples)],
            },
        )
        for index, fates in enumerate(schedule)
    ]
    with tempfile.TemporaryDirectory() as folder:
        collection, rollouts = run(
            Fated,
            fake_model(fated_answer),
            tasks=tasks,
            samples=samples,
            concurrency=concurrency,
            agent=ToolLoop(max_turns=2),
            out=folder,
        )
        assert len(list(read_rollouts(folder))) == len(rollouts)
        assert len(list(read_failures(folder))) == len(collection.failures)
    fates = [fate for row in schedule for fate in row]
    accounting = collection.summary().accounting
    assert accounting.offered == len(fates)
    assert accounting.scored == fates.count("answer")
    assert accounting.truncated == fates.count("truncate")
    assert accounting.failed == len(fates) - accounting.scored - accounting.truncated
    assert accounting.owed == 0
    assert len(rollouts) + len(collection.failures) == len(fates)
    assert len({r.id for r in [*rollouts, *collection.failures]}) == len(fates)

    good = [i / 8 for i, row in enumerate(schedule) for f in row if f in ("answer", "truncate")]
    mean = collection.summary().reward
    assert mean.n == len(good)
    if good:
        assert abs(mean.mean - sum(good) / len(good)) < 1e-9
    classes = {
        "model": "model_error", "setup": "environment_error", "cancel": "environment_error",
        "reward": "verifier_error", "nan": "verifier_error", "exit": "verifier_error",
        "record": "environment_error",
    }  # fmt: skip
    assert sorted(f.failure_class for f in collection.failures) == sorted(
        classes[fate] for fate in fates if fate in classes
    )


@pytest.mark.parametrize(
    "spoil",
    [
        "rollout.metrics['note'] = 'text'",
        "rollout.extra = 'text'",
        "rollout.messages.append(Message('User', 'hi'))",
        "rollout.messages.append(Message('user', 5))",
    ],
)
def test_a_record_that_could_not_be_read_again_is_a_failure(tmp_path, spoil):
    class Spoiling(Environment):
        @classmethod
        def tasks(cls, config, split):
            yield Task("x", id="a")

        @reward
        def score(self, rollout):
            exec(spoil, {"rollout": rollout, "Message": Message})
            return 1.0

    collection = athlos.collect(Spoiling, scripted("hi"), out=tmp_path / "a")
    asyncio.run(collection.run())
    assert [f.failure_class for f in collection.failures] == ["environment_error"]
    assert list(athlos.read_rollouts(tmp_path / "a")) == []
    assert len(list(athlos.read_failures(tmp_path / "a"))) == 1


def test_who_a_rollout_is_is_not_the_environments_to_say():
    class Confused(Environment):
        @classmethod
        def tasks(cls, config, split):
            yield from (Task("x", id=name) for name in "ab")

        @reward
        def score(self, rollout):
            rollout.id = rollout.task_id = "other"
            rollout.sample = 7
            rollout.usage = rollout.calls = None
            return 1.0

    summary = asyncio.run(athlos.collect(Confused, scripted("hi"), samples=2).run())
    assert summary.accounting.scored == 4


def test_more_samples_of_the_same_tasks_are_offered_and_written_down(tmp_path):
    def run(samples):
        collection = athlos.collect(
            "counter", scripted("hi"), limit=3, samples=samples, out=tmp_path / "a"
        )
        return asyncio.run(collection.run())

    run(1)
    assert run(4).accounting.offered == 12
    from athlos.metrics import summarize_run

    assert summarize_run(tmp_path / "a")[1].accounting.offered == 12
    with pytest.raises(athlos.ConfigError, match="samples was 4, is now 2"):
        run(2)


def test_dropping_before_the_first_attempt_ends_it():
    class Slow(Environment):
        @classmethod
        async def tasks(cls, config, split):
            await asyncio.sleep(3600)
            yield Task("x")

        @reward
        def score(self, rollout):
            return 1.0

    async def main():
        collection = athlos.collect(Slow, scripted("hi"))
        running = asyncio.create_task(collection.run())
        await asyncio.sleep(0.05)
        collection.drop()
        await asyncio.wait([running], timeout=10)
        return running.cancelled()

    assert asyncio.run(main())
