"""`athlos run` against a server on a real socket."""

import json
import os
import re
import signal
import subprocess
import sys
import time

from tests.fake_server import FakeServer, Fault, text, tool_call


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def play_counter(request):
    """Adds the target in two calls, then answers."""
    messages = request["messages"]
    target = int(re.search(r"to (\d+)", messages[0]["content"])[1])
    turn = sum(m["role"] == "assistant" for m in messages)
    if turn == 0:
        return tool_call("add", json.dumps({"amount": target - 1}))
    if turn == 1:
        return tool_call("add", '{"amount": "1"}')
    return text("Done.")


def test_the_example_of_the_documentation_runs(athlos, counter_file, tmp_path):
    with FakeServer(play_counter) as server:
        done = athlos("run", "./counter.py", "--base-url", server.url, "--out", "runs/a")
    assert done.returncode == 0, done.stderr
    records = lines(tmp_path / "runs/a/rollouts.jsonl")
    assert len(records) == 100
    assert all(record["reward"] == 1.0 and record["turns"] == 3 for record in records)
    assert "reward 1.000" in done.stdout
    assert "runs/a/rollouts.jsonl" in done.stdout
    metrics = json.loads((tmp_path / "runs/a/metrics.json").read_text())
    assert metrics["accounting"]["scored"] == 100
    assert metrics["tool_error_rate"] == 0.0


def test_a_broken_server_loses_nothing_and_changes_no_reward(athlos, counter_file, tmp_path):
    """500 every third, 429 every fifth, reset every seventh connection, nonsense every eleventh."""

    def chaos(request, connection):
        if connection % 7 == 0:
            return Fault(reset=True)
        if request % 11 == 0:
            return Fault(200, body=b'{"choices": [{"mess')
        if request % 5 == 0:
            return Fault(429, headers={"Retry-After": "0.05"}, body=b"slow down")
        if request % 3 == 0:
            return Fault(500, body=b'{"error": {"message": "boom"}}')
        return None

    def parity(request):
        target = int(re.search(r"to (\d+)", request["messages"][0]["content"])[1])
        turn = sum(m["role"] == "assistant" for m in request["messages"])
        if turn:
            return text("Done.")
        return tool_call("add", json.dumps({"amount": target - target % 2}))

    (tmp_path / "run.yaml").write_text("retry: {base: 0.01, cap: 0.1}\n")
    with FakeServer(parity, chaos=chaos) as server:
        done = athlos(
            "run", "./counter.py", "--base-url", server.url, "--samples", 5,
            "--out", "a", "--config", "run.yaml",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = lines(tmp_path / "a/rollouts.jsonl")
    assert len(records) == 500
    assert len({(r["task_id"], r["sample"]) for r in records}) == 500
    for record in records:
        target = int(re.search(r"to (\d+)", record["messages"][0]["content"])[1])
        assert record["reward"] == float(target % 2 == 0)
    assert lines(tmp_path / "a/failures.jsonl") == []
    assert len(server.requests) > 1000
    assert any(call.get("tries", 1) > 1 for record in records for call in record["calls"])


RAISING = """\
from athlos import Environment, Task, reward

class Raising(Environment):
    @classmethod
    def tasks(cls, config, split):
        for n in range(10):
            yield Task(prompt=f"task {n}", info={"n": n}, id=f"t{n}")

    @reward
    def score(self, rollout):
        if self.task.info["n"] % 5 == 0:
            raise KeyError("no such gold")
        return 0.5
"""


def test_a_reward_that_raises_fails_its_attempts_only(athlos, tmp_path):
    (tmp_path / "raising.py").write_text(RAISING)
    with FakeServer(lambda request: text("hello")) as server:
        done = athlos("run", "./raising.py", "--base-url", server.url, "--out", "a")
        assert done.returncode == 1
        records = lines(tmp_path / "a/rollouts.jsonl")
        failures = lines(tmp_path / "a/failures.jsonl")
        assert len(records) == 8
        assert {record["reward"] for record in records} == {0.5}
        assert sorted(f["task_id"] for f in failures) == ["t0", "t5"]
        for failure in failures:
            assert failure["failure_class"] == "verifier_error"
            assert "KeyError" in failure["message"]
            assert "no such gold" in failure["traceback"]
            assert "raising.py" in failure["traceback"]
            assert failure["messages"][-1]["content"] == "hello"
        assert "scored 8" in done.stdout
        assert "failed 2" in done.stdout
        assert "verifier_error 2" in done.stdout

        again = athlos("run", "./raising.py", "--base-url", server.url, "--out", "a")
    assert again.returncode == 1
    assert len(lines(tmp_path / "a/rollouts.jsonl")) == 8
    assert [f["attempt"] for f in lines(tmp_path / "a/failures.jsonl")] == [0, 0, 1, 1]
    assert "failed 2" in again.stdout


def start(tmp_path, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "athlos", "run", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_lines(process, path, count, deadline=60.0):
    end = time.monotonic() + deadline
    while time.monotonic() < end and process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"{path} did not get {count} lines: {process.communicate()}")


def test_a_killed_run_goes_on_where_it_was(athlos, counter_file, tmp_path):
    with FakeServer(play_counter, latency=0.02) as server:
        call = ("./counter.py", "--base-url", server.url, "--limit", "10", "--samples", "2",
                "--concurrency", "2", "--out", "a")  # fmt: skip
        process = start(tmp_path, *call)
        wait_for_lines(process, tmp_path / "a/rollouts.jsonl", 7)
        process.kill()
        process.communicate()
        before = lines(tmp_path / "a/rollouts.jsonl")
        assert len(before) < 20

        done = athlos("run", *call)
        assert done.returncode == 0, done.stderr
        records = lines(tmp_path / "a/rollouts.jsonl")
        assert records[: len(before)] == before
        assert len(records) == 20
        assert len({(r["task_id"], r["sample"]) for r in records}) == 20

        sent = len(server.requests)
        again = athlos("run", *call)
        assert again.returncode == 0
        assert "nothing to do" in again.stdout
        assert len(server.requests) == sent

        other = athlos("run", *call, "--temperature", "0.7")
        assert other.returncode == 2
        assert "sampling.temperature" in other.stderr

        more = athlos("run", *call[:-6], "--samples", "3", "--out", "a", "--concurrency", "2")
        assert more.returncode == 0, more.stderr
        assert len(lines(tmp_path / "a/rollouts.jsonl")) == 30


def test_a_torn_record_is_cut_off_and_made_again(athlos, counter_file, tmp_path):
    with FakeServer(play_counter) as server:
        call = ("run", "./counter.py", "--base-url", server.url, "--limit", 5, "--out", "a")
        athlos(*call)
        path = tmp_path / "a/rollouts.jsonl"
        path.write_bytes(path.read_bytes()[:-40])
        done = athlos(*call)
    assert done.returncode == 0, done.stderr
    assert len({r["task_id"] for r in lines(path)}) == 5


def test_ctrl_c_lets_attempts_end_and_says_how_to_go_on(counter_file, tmp_path):
    with FakeServer(play_counter, latency=0.05) as server:
        process = start(tmp_path, "./counter.py", "--base-url", server.url, "--out", "a",
                        "--concurrency", "4")  # fmt: skip
        wait_for_lines(process, tmp_path / "a/rollouts.jsonl", 4)
        os.kill(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "waiting for 4 attempts" in errors
    assert "--out a" in output
    count = len(lines(tmp_path / "a/rollouts.jsonl"))
    assert 4 < count < 100
    assert (
        json.loads((tmp_path / "a/metrics.json").read_text())["accounting"]["owed"] == 100 - count
    )


def test_a_second_ctrl_c_drops_what_hangs(counter_file, tmp_path):
    def chaos(request, connection):
        return Fault(hang=True) if request > 12 else None

    with FakeServer(play_counter, chaos=chaos) as server:
        process = start(tmp_path, "./counter.py", "--base-url", server.url, "--out", "a",
                        "--concurrency", "3")  # fmt: skip
        wait_for_lines(process, tmp_path / "a/rollouts.jsonl", 3)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "owed" in output


def test_json_result_is_one_object(athlos, counter_file):
    with FakeServer(play_counter) as server:
        done = athlos("run", "./counter.py", "--base-url", server.url, "--limit", 3, "--json")
    result = json.loads(done.stdout)
    assert result["metrics"]["reward"]["mean"] == 1.0
    assert done.stderr == ""


def test_a_run_file_is_overruled_by_options(athlos, tmp_path, counter_file):
    (tmp_path / "run.yaml").write_text(
        "environment: ./counter.py\nlimit: 4\nsamples: 2\nsampling: {top_k: 3, temperature: 1}\n"
    )
    with FakeServer(play_counter) as server:
        done = athlos("run", "--config", "run.yaml", "--limit", 2, "--base-url", server.url,
                      "--temperature", 0.5, "--sampling.min_p", 0.1, "--seed", 3)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 rollouts over 2 tasks" in done.stdout
    request = server.requests[0]
    assert (request["top_k"], request["temperature"], request["min_p"]) == (3, 0.5, 0.1)
    assert len({r["seed"] for r in server.requests}) == 4


def test_the_api_key_is_sent_and_written_nowhere(athlos, counter_file, tmp_path):
    with FakeServer(play_counter, api_key="sk-very-secret") as server:
        done = athlos("run", "./counter.py", "--base-url", server.url, "--limit", 2, "--out", "a",
                      "--api-key-env", "MY_KEY", env={"MY_KEY": "sk-very-secret"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(server.authorizations) == {"Bearer sk-very-secret"}
    for file in (tmp_path / "a").iterdir():
        assert b"very-secret" not in file.read_bytes()
