"""What an environment's code raises, and what ends while a request waits for it."""

import asyncio

import pytest
from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import Environment, Rollout, reward, tool

RAISED = {"interrupt": KeyboardInterrupt, "cancel": asyncio.CancelledError}
CALL = {"type": "function_call", "call_id": "c1", "name": "raises"}


class Rude(Environment):
    """Its tools wait for ever, or raise what none should."""

    name = "rude"

    def setup(self):
        if "in_setup" in self.task.info:
            raise RAISED[self.task.info["in_setup"]]

    @tool
    async def waits(self) -> str:
        """Wait."""
        Rude.begun.set()
        await asyncio.sleep(3600)
        return "never"

    @tool
    async def raises(self, what: str) -> str:
        """Raise."""
        raise RAISED[what]

    @reward
    def right(self, rollout: Rollout) -> float:
        return 1.0


def run(main, **options):
    async def all_of_it():
        Rude.begun = asyncio.Event()
        async with serving(Rude, **options) as server:
            return await main(server, Caller(server))

    return asyncio.run(all_of_it())


async def waiting(ask):
    """A session, and a call in it that does not end."""
    begun = await ask.post("/seed_session", ROW)
    calling = asyncio.ensure_future(ask.post("/waits", {}, begun.session))
    await Rude.begun.wait()
    return begun.session, calling


def test_a_call_in_flight_is_answered_when_the_server_ends():
    async def main(server, ask):
        _, calling = await waiting(ask)
        await server.close()
        return await calling

    reply = run(main)
    error = reply.json["error"]
    assert (reply.status, error["failure_class"], error["retryable"]) == (503, "cancelled", True)


def test_a_call_in_flight_is_answered_when_its_session_is_closed():
    async def main(server, ask):
        session, calling = await waiting(ask)
        closed = await ask.post("/close", {}, session)
        return closed.status, await calling

    closed, reply = run(main)
    assert (closed, reply.status, reply.code) == (200, 503, "cancelled")


@pytest.mark.parametrize("what", RAISED)
def test_what_no_tool_may_raise_fails_the_attempt(what):
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        called = await ask.post("/raises", {"what": what}, begun.session)
        body = {**ROW, "response": answered(said("done"))}
        return called, await ask.post("/verify", body, begun.session), await ask("GET", "/health")

    called, scored, health = run(main)
    for reply in (called, scored):
        assert (reply.status, reply.json["error"]["failure_class"]) == (500, "environment_error")
        assert RAISED[what].__name__ in reply.json["error"]["message"]
    assert health.status == 200


@pytest.mark.parametrize("what", RAISED)
def test_what_no_tool_may_raise_fails_an_attempt_without_a_session(what):
    async def main(server, ask):
        item = {**CALL, "arguments": f'{{"what": "{what}"}}'}
        return await ask.post("/verify", {**ROW, "response": answered(item)})

    reply = run(main)
    assert (reply.status, reply.json["error"]["failure_class"]) == (500, "environment_error")


@pytest.mark.parametrize("what", RAISED)
def test_what_no_setup_may_raise_leaves_the_server(what):
    async def main(server, ask):
        row = {**ROW, "verifier_metadata": {"in_setup": what}}
        return await ask.post("/seed_session", row), await ask.post("/seed_session", ROW)

    failed, other = run(main)
    assert (failed.status, failed.json["error"]["failure_class"]) == (500, "environment_error")
    assert other.status == 200
