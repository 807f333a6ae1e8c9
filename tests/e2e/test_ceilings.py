"""A run that is ended early, by a ceiling or by its user, says so, and goes on from there."""

import json
import re
import signal

import pytest
from tests.e2e.command import Command, accounting, lines
from tests.fake_server import FakeServer, Fault, text, tool_call

IN_FLIGHT = 4
TASKS = 60
ENVIRONMENT = """\
from athlos import Environment, Task, reward

class Many(Environment):
    @classmethod
    def tasks(cls, config, split):
        for n in range(60):
            yield Task(prompt=f"task {n}", id=f"t{n}")

    @reward
    def score(self, rollout):
        return 1.0
"""
LARGEST = (39, 19)  # prompt and completion tokens of one call


class Meter:
    """A model whose calls differ in what they take, and what they took."""

    def __init__(self):
        self.prompt = self.completion = 0
        self.asked = []

    def __call__(self, request):
        n = int(request["messages"][0]["content"].split()[1])
        prompt, completion = 10 + 7 * n % 30, 5 + 11 * n % 15
        self.asked.append(n)
        self.prompt += prompt
        self.completion += completion
        answer = text("hi")
        answer["usage"] = {"prompt_tokens": prompt, "completion_tokens": completion}
        return answer

    @property
    def tokens(self):
        return self.prompt + self.completion


def recorded(out):
    """The tokens on the records."""
    records = lines(out / "rollouts.jsonl") + lines(out / "failures.jsonl")
    usages = [record["usage"] for record in records if record.get("usage")]
    return sum(u.get("prompt_tokens", 0) + u.get("completion_tokens", 0) for u in usages)


@pytest.mark.parametrize("kind", ["tokens", "cost"])
def test_a_run_stops_at_its_ceiling_and_goes_on_with_a_higher_one(tmp_path, kind):
    (tmp_path / "many.py").write_text(ENVIRONMENT)
    meter = Meter()
    if kind == "tokens":
        ceilings, error = (500, 900, 100_000), IN_FLIGHT * sum(LARGEST)
        words = [("--max-tokens-total", ceiling) for ceiling in ceilings]
        spent = lambda: meter.tokens  # noqa: E731
    else:
        ceilings, error = (0.02, 0.05, 10), IN_FLIGHT * (40 * LARGEST[0] + 80 * LARGEST[1]) / 1e6
        words = [("--max-cost", ceiling, "--price", 40, 80) for ceiling in ceilings]
        spent = lambda: (40 * meter.prompt + 80 * meter.completion) / 1e6  # noqa: E731

    def part(number):
        with Command(tmp_path, "./many.py", "--base-url", server.url, "--out", "a",
                     "--concurrency", IN_FLIGHT, *words[number]) as run:  # fmt: skip
            return run, run.end()

    out = tmp_path / "a"
    with FakeServer(meter, latency=0.01) as server:
        for number in (0, 1):
            run, code = part(number)
            assert code == 1, run.said
            assert abs(spent() - ceilings[number]) <= error
            assert meter.tokens == recorded(out)
            found = accounting(out)
            assert found["offered"] == TASKS
            assert found["scored"] == len(meter.asked) == len(set(meter.asked)) < TASKS
            assert found["failed"] == 0
            last = run.output.strip().splitlines()[-1]
            assert "the budget is spent" in last
            assert f"{ceilings[number]:,}" in last
            assert "the same command with --out a goes on" in last
        before = len(meter.asked)
        _, code = part(1)
        assert code == 1
        assert abs(spent() - ceilings[1]) <= error, "each part may not spend the ceiling anew"
        assert len(meter.asked) <= before + IN_FLIGHT
        first = lines(out / "rollouts.jsonl")
        run, code = part(2)
        assert code == 0, run.said
    assert sorted(meter.asked) == list(range(TASKS))
    assert lines(out / "rollouts.jsonl")[: len(first)] == first
    assert accounting(out)["scored"] == TASKS
    assert meter.tokens == recorded(out)


def test_a_ceiling_in_the_middle_of_conversations(counter_file, tmp_path):
    def play(request):
        target = int(re.search(r"to (\d+)", request["messages"][0]["content"])[1])
        if sum(m["role"] == "assistant" for m in request["messages"]) == 0:
            return tool_call("add", json.dumps({"amount": target}))
        return text("Done.")

    call = ("./counter.py", "--out", "a", "--limit", 30, "--samples", 2,
            "--concurrency", IN_FLIGHT)  # fmt: skip
    out = tmp_path / "a"
    with FakeServer(play, latency=0.01) as server:
        with Command(tmp_path, *call, "--base-url", server.url, "--max-tokens-total", 615) as run:
            assert run.end() == 1
        assert abs(15 * len(server.requests) - 615) <= IN_FLIGHT * 15
        assert recorded(out) == 15 * len(server.requests)
        found = accounting(out)
        assert found["offered"] == 60
        assert 0 < found["scored"] < 60
        assert {f["failure_class"] for f in lines(out / "failures.jsonl")} <= {"refused"}
        given_up = recorded(out) - 30 * found["scored"]
        with Command(tmp_path, *call, "--base-url", server.url) as run:
            assert run.end() == 0, run.said
        assert accounting(out)["scored"] == 60
        assert 15 * len(server.requests) == 30 * 60 + given_up


@pytest.mark.parametrize("durable", [(), ("--durable",)], ids=["", "durable"])
def test_a_run_that_was_given_up_can_be_resumed(tmp_path, durable):
    (tmp_path / "many.py").write_text(ENVIRONMENT)
    out = tmp_path / "a"
    meter = Meter()

    def chaos(number, connection):
        return Fault(hang=True) if 20 < number <= 20 + IN_FLIGHT else None

    with FakeServer(meter, chaos=chaos) as server:
        call = ("./many.py", "--base-url", server.url, "--out", "a", "--concurrency", IN_FLIGHT,
                *durable)  # fmt: skip
        with Command(tmp_path, *call) as run:
            run.until(lambda: (out / "rollouts.jsonl").exists()
                      and len(lines(out / "rollouts.jsonl")) == 20
                      and len(server.requests) == 20 + IN_FLIGHT)  # fmt: skip
            run.process.send_signal(signal.SIGINT)
            run.until(lambda: f"waiting for {IN_FLIGHT} attempts" in run.said)
            run.process.send_signal(signal.SIGINT)
            assert run.end() == 130
            assert "the same command with --out a goes on" in run.output
        found = accounting(out)
        assert (found["scored"], found["cancelled"]) == (20, IN_FLIGHT)
        assert found["owed"] == TASKS - 20 - IN_FLIGHT
        assert [f["failure_class"] for f in lines(out / "failures.jsonl")] == [
            "cancelled"
        ] * IN_FLIGHT
        with Command(tmp_path, *call) as run:
            assert run.end() == 0, run.said
    assert accounting(out)["scored"] == TASKS
    assert sorted(meter.asked) == list(range(TASKS))
