"""Programs for the tests of agents that are programs: what they share, and running them."""

import asyncio
import os
import sys
import textwrap
import time
from pathlib import Path

import athlos
from athlos import Environment, Task, reward, tool
from athlos.agents import CommandAgent
from athlos.testing import fake_model

ASK = """
import http.client, json, os, signal, sys, time
from urllib.parse import urlsplit

def post(url, body, key=None):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"content-type": "application/json",
               "authorization": "Bearer " + (key or os.environ["OPENAI_API_KEY"])}
    connection.request("POST", parts.path, json.dumps(body), headers)
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, json.loads(data or b"null")

def ask(text="Hello?", url=None, key=None):
    body = {"model": "any", "messages": [{"role": "user", "content": text}]}
    return post((url or os.environ["OPENAI_BASE_URL"]) + "/chat/completions", body, key)

def call(name, **arguments):
    params = {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return post(os.environ["ATHLOS_MCP_URL"], body)[1]
"""


class Plain(Environment):
    """Has no tools; what the model said last is the answer."""

    @classmethod
    def tasks(cls, config, split):
        for number in range(1000):
            yield Task(prompt=f"Say {number}.", info={"secret": "the answer"})

    @reward
    def said(self, rollout):
        return float(rollout.answer == self.task.prompt)


class Adds(Plain):
    def setup(self):
        self.total = 0

    @tool
    def add(self, amount: int) -> int:
        """Add an amount."""
        self.total += amount
        return self.total

    @reward
    def said(self, rollout):
        return float(self.total)


def echo(messages):
    return messages[-1].text


def program(folder: Path, source: str, *words: str, name: str = "agent.py") -> list[str]:
    """A command that runs a Python source, after what all programs have."""
    path = folder / name
    path.write_text(ASK + textwrap.dedent(source))
    return [sys.executable, "-I", "-S", str(path), *words]


def collect(command, world=Plain, *, model=None, deadline=60.0, limit=1, **options):
    """Runs attempts; the rollouts and the failures."""
    found = []

    async def main():
        agent = CommandAgent(command=command, **options)
        collection = athlos.collect(
            world, model or fake_model(echo), agent=agent, limit=limit, deadline=deadline
        )
        async for rollout in collection:
            found.append(rollout)
        return collection.failures

    failures = asyncio.run(main())
    return found, failures


def one(command, world=Plain, **options):
    """The only rollout."""
    [rollout], failures = collect(command, world, **options)
    assert failures == []
    return rollout


def failure(command, world=Plain, **options):
    """The only failure."""
    rollouts, [failed] = collect(command, world, **options)
    assert rollouts == []
    return failed


def is_running(pid: int) -> bool:
    """Whether there is such a process, one that waits to be collected aside."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def ends(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends."""
    until = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > until:
            os.kill(pid, 9)
            return False
        time.sleep(0.02)
    return True
