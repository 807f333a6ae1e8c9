"""Several processes: a session is found whichever is asked, and one that dies comes back."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from tests.serve.helpers import ROW, Caller, answered, said
from tests.serve.test_server import Served


@pytest.fixture(scope="module")
def served():
    with Served("counter", "--workers", "2", "--drain", "0") as served:
        yield served


def test_every_request_finds_its_session(served):
    ask = Caller(served)

    async def attempt(number):
        target = number % 7
        row = {**ROW, "verifier_metadata": {"target": 2 * target}}
        begun = await ask.post("/seed_session", row)
        added = [await ask.post("/add", {"amount": target}, begun.session) for _ in "ab"]
        body = {**row, "response": answered(said("done"))}
        scored = await ask.post("/verify", body, begun.session)
        worker = begun.headers["athlos-session"].partition(".")[0]
        return worker, [reply.text for reply in added], scored.json["reward"]

    async def main():
        return await asyncio.gather(*(attempt(number) for number in range(60)))

    found = asyncio.run(main())
    expected = [[str(n % 7), str(2 * (n % 7))] for n in range(60)]
    assert [texts for _, texts, _ in found] == expected
    assert {reward for _, _, reward in found} == {1.0}
    figures = ask.ask("GET", "/metrics", None, {}).text
    assert 'sessions_opened_total{worker="0"}' in figures
    assert 'sessions_opened_total{worker="1"}' in figures
    assert {worker for worker, _, _ in found} <= {"0", "1"}


def test_no_process_shows_the_token(served):
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text()
    pids = [str(served.process.pid), *children.split()]
    shown = [Path(f"/proc/{pid}/{what}").read_text(errors="replace")
             for pid in pids for what in ("cmdline", "environ")]  # fmt: skip
    assert len(pids) == 3
    assert [text for text in shown if served.token in text] == []


def test_a_key_without_a_session_finds_the_first_request(served):
    ask = Caller(served)

    async def main():
        calls = [ask.post("/seed_session", ROW, idempotency_key="one") for _ in range(12)]
        return {reply.headers["athlos-session"] for reply in await asyncio.gather(*calls)}

    assert len(asyncio.run(main())) == 1


def test_the_token_of_a_session_opens_its_tools_whichever_is_asked(served):
    ask = Caller(served)
    begun = ask.ask("POST", "/seed_session", ROW, {})
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    message["params"] = {"name": "add", "arguments": {"amount": 1}}

    def call(token):
        reply = ask.ask("POST", "/mcp", message, {"authorization": f"Bearer {token}"})
        return reply.status, reply.json

    found = [call(begun.headers["athlos-session"]) for _ in range(8)]
    texts = [reply["result"]["content"][0]["text"] for _, reply in found]
    assert texts == [str(number) for number in range(1, 9)]
    wrong = {call(token)[0] for token in ("0.nothing", "1.nothing", "7.nothing", "nothing")}
    assert wrong == {401}
    ask.ask("POST", "/close", {}, begun.session)


@pytest.mark.parametrize("name", ["0.nothing", "1.nothing", "7.nothing", "x", "-1.a", "\u00b2.a"])
def test_names_of_no_session_are_refused(served, name):
    reply = Caller(served).ask("POST", "/add", {"amount": 1}, {"athlos-session": name.encode()})
    assert (reply.status, reply.code) == (404, "no_such_session")


def test_the_token_is_in_no_environment_and_no_argument_list(served):
    children = os.listdir(f"/proc/{served.process.pid}/task")
    pids = [served.process.pid]
    for child in children:
        with open(f"/proc/{served.process.pid}/task/{child}/children") as file:
            pids += [int(pid) for pid in file.read().split()]
    assert len(pids) >= 3
    for pid in pids:
        for what in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{what}", "rb") as file:
                assert served.token.encode() not in file.read()


def test_a_worker_that_dies_loses_its_sessions_only_and_is_started_again(served):
    ask = Caller(served)
    begun = {}
    while len(begun) < 2:
        reply = ask.ask("POST", "/seed_session", ROW, {})
        begun[reply.headers["athlos-session"].partition(".")[0]] = reply.session
    with open(f"/proc/{served.process.pid}/task/{served.process.pid}/children") as file:
        pids = [int(pid) for pid in file.read().split()]
    os.kill(pids[0], signal.SIGKILL)
    statuses = {}
    for _ in range(300):
        statuses = {}
        for worker, session in begun.items():
            try:
                reply = ask.ask("POST", "/add", {"amount": 1}, session)
                statuses[worker] = reply.status
            except OSError:
                statuses[worker] = 0
        if sorted(statuses.values()) == [200, 404]:
            break
        time.sleep(0.1)
    assert sorted(statuses.values()) == [200, 404]
