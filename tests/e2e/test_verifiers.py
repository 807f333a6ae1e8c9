"""A verifier in a process that misbehaves costs its own attempt, and no other."""

import os
import subprocess

import pytest
from tests.e2e.command import Command, accounting, lines
from tests.fake_server import FakeServer, text

ENVIRONMENT = """\
import os, subprocess, sys, time
from athlos import Environment, Task, reward

DEEDS = {3: "hang", 8: "spawn", 13: "exit", 18: "eat", 23: "crash", 28: "leave"}

class Checked(Environment):
    @classmethod
    def tasks(cls, config, split):
        for n in range(48):
            yield Task(prompt=f"task {n}", id=f"t{n}", info={"deed": DEEDS.get(n, "")})

    @reward(process=True, timeout=1, memory=200)
    def correct(self, rollout):
        match self.task.info["deed"]:
            case "hang":
                while True:
                    pass
            case "spawn":  # and wait for a process that does not end
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
                with open("child", "w") as file:
                    file.write(str(child.pid))
                child.wait()
            case "exit":
                os._exit(3)
            case "eat":
                kept = []
                while True:
                    kept.append(bytearray(10_000_000))
            case "crash":
                os.abort()
            case "leave":
                raise SystemExit(4)
        return 0.75
"""
EXPECTED = {
    "t3": "took longer than 1 s",
    "t8": "took longer than 1 s",
    "t13": "exit code 3",
    "t18": "200 MB",
    "t23": "SIGABRT",
    "t28": "",
}


@pytest.mark.parametrize("concurrency", [4, 64])
def test_a_verifier_that_misbehaves_fails_its_own_attempt_only(tmp_path, concurrency):
    (tmp_path / "checked.py").write_text(ENVIRONMENT)
    with (
        FakeServer(lambda request: text("42")) as server,
        Command(tmp_path, "./checked.py", "--base-url", server.url, "--out", "a",
                "--concurrency", concurrency) as run,
    ):  # fmt: skip
        assert run.end() == 1, run.said
        assert len(server.requests) == 48
    found = accounting(tmp_path / "a")
    assert (found["scored"], found["failed"]) == (42, 6)
    assert {r["reward"] for r in lines(tmp_path / "a/rollouts.jsonl")} == {0.75}
    failures = {f["task_id"]: f for f in lines(tmp_path / "a/failures.jsonl")}
    assert failures.keys() == EXPECTED.keys()
    for name, failure in failures.items():
        assert failure["failure_class"] == "verifier_error"
        assert EXPECTED[name] in failure["message"]
        assert failure["messages"][-1]["content"] == "42"
    assert "verifier_error 6" in run.output
    assert not alive(int((tmp_path / "child").read_text()))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return not state.stdout.startswith("Z")  # killed, and its parent has not looked yet


def test_a_value_for_the_time_limit_is_a_score(tmp_path):
    (tmp_path / "checked.py").write_text(
        ENVIRONMENT.replace("timeout=1,", "timeout=1, on_timeout=0.25,")
    )
    with (
        FakeServer(lambda request: text("42")) as server,
        Command(tmp_path, "./checked.py", "--base-url", server.url, "--out", "a",
                "--limit", 10) as run,
    ):  # fmt: skip
        assert run.end() == 0, run.said
    rewards = {r["task_id"]: r["reward"] for r in lines(tmp_path / "a/rollouts.jsonl")}
    assert rewards == {f"t{n}": 0.25 if n in (3, 8) else 0.75 for n in range(10)}
    assert accounting(tmp_path / "a")["scored"] == 10
