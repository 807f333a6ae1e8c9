"""A server that is killed during a run takes the attempts in flight with it, and no others."""

import asyncio
import itertools
import json
import re
import threading

import pytest
from tests.serve.test_server import Served

import athlos
from athlos.registry import load
from athlos.serve.rows import task_to_row
from athlos.testing import call, fake_model

TASKS = 24
AT_ONCE = 6


class Mortal:
    """`athlos serve counter`, which can be killed and begun again at the same address."""

    def __enter__(self):
        self.served = Served("counter", "--no-auth")
        self.url = self.served.url
        return self

    def kill(self):
        self.served.process.kill()  # SIGKILL: nothing is taken down
        self.served.process.communicate()

    def begin_again(self):
        self.served = Served("counter", "--no-auth", port=self.url.rpartition(":")[2])

    def __exit__(self, *error):
        self.kill()


def rows(path):
    env = load("counter")
    tasks = itertools.islice(env.tasks(env.make_config({}), "test"), TASKS)
    path.write_text("".join(json.dumps(task_to_row(task, env)) + "\n" for task in tasks))
    return path


@pytest.mark.parametrize("later", [False, True], ids=["back at once", "back later"])
def test_attempts_in_flight_fail_as_infrastructure_and_are_made_again(tmp_path, later):
    asked = itertools.count()
    returning = []

    def policy(messages):
        if next(asked) == 2 * AT_ONCE + 1:  # some have ended, some wait for us, some for a tool
            server.kill()
            if later:  # meanwhile attempts begin
                returning.append(threading.Timer(1.0, server.begin_again))
                returning[0].start()
            else:  # the others find another server, which does not know their sessions
                server.begin_again()
        if messages[-1].role == "tool":
            return "done"
        return call("add", amount=int(re.search(r"exactly (\d+)", messages[0].text)[1]))

    async def run():
        collection = athlos.collect(
            f"nemo-gym+{server.url}", fake_model(policy), tasks=rows(tmp_path / "rows.jsonl"),
            concurrency=AT_ONCE, attempts=2,
        )  # fmt: skip
        return [rollout async for rollout in collection], collection.failures

    with Mortal() as server:
        found, failures = asyncio.run(run())
        for timer in returning:
            timer.join()
    assert sorted(rollout.reward for rollout in found) == [1.0] * TASKS, failures
    assert len({rollout.task_id for rollout in found}) == TASKS
    assert 1 <= len(failures) <= AT_ONCE
    assert {(one.failure_class, one.retryable) for one in failures} == {("environment_error", True)}
