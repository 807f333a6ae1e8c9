"""A request that comes again with its key is not executed again."""

import asyncio

from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import Environment, Rollout, reward, tool
from athlos.serve.replays import Answered, Replays


class Slow(Environment):
    name = "slow"
    setups = 0

    def setup(self):
        Slow.setups += 1
        self.count = 0

    @tool
    async def add(self, amount: int) -> int:
        await asyncio.sleep(0.1)
        self.count += amount
        return self.count

    @reward
    def total(self, rollout: Rollout) -> float:
        return float(self.count)


def run(main):
    async def all_of_it():
        Slow.setups = 0
        async with serving(Slow) as server:
            return await main(server, Caller(server))

    return asyncio.run(all_of_it())


def test_a_tool_runs_once_for_one_key():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        key = {"idempotency_key": "k1"}
        first = await ask.post("/add", {"amount": 1}, begun.session, **key)
        again = await ask.post("/add", {"amount": 1}, begun.session, **key)
        other = await ask.post("/add", {"amount": 1}, begun.session, idempotency_key="k2")
        return first.text, again.text, other.text

    assert run(main) == ("1", "1", "2")


def test_a_key_that_comes_while_the_first_is_under_way_waits_for_it():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        calls = [
            ask.post("/add", {"amount": 1}, begun.session, x_request_id="same") for _ in range(8)
        ]
        return {reply.text for reply in await asyncio.gather(*calls)}

    assert run(main) == {"1"}


def test_a_key_for_another_body_is_refused_and_a_request_id_is_another_request():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        found = []
        for header in ("idempotency_key", "x_request_id"):
            for amount in (1, 2):
                given = {header: "k"}
                found.append(await ask.post("/add", {"amount": amount}, begun.session, **given))
        return [reply.status for reply in found], found[-1].text

    assert run(main) == ([200, 409, 200, 200], "4")


def test_sessions_do_not_share_keys():
    async def main(server, ask):
        texts = []
        for _ in "ab":
            begun = await ask.post("/seed_session", ROW)
            reply = await ask.post("/add", {"amount": 1}, begun.session, idempotency_key="k")
            texts.append(reply.text)
        return texts

    assert run(main) == ["1", "1"]


def test_a_session_that_is_opened_twice_with_one_key_is_one():
    async def main(server, ask):
        calls = [ask.post("/seed_session", ROW, idempotency_key="s") for _ in range(5)]
        names = {reply.headers["athlos-session"] for reply in await asyncio.gather(*calls)}
        return len(names), Slow.setups, len(server.sessions)

    assert run(main) == (1, 1, 1)


def test_a_verify_that_comes_again_after_its_session_is_answered_again():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        await ask.post("/add", {"amount": 7}, begun.session)
        body = {**ROW, "response": answered(said("done"))}
        replies = [
            await ask.post("/verify", body, begun.session, idempotency_key="v") for _ in "ab"
        ]
        return [reply.json["reward"] for reply in replies]

    assert run(main) == [7.0, 7.0]


def test_failures_are_not_kept_and_the_oldest_replies_go_first():
    async def main():
        replays = Replays(most=2, room=100)
        made = []

        async def make(status, body=b"x"):
            made.append(status)
            return Answered(status, body)

        await replays.once(("a",), b"1", lambda: make(500))
        await replays.once(("a",), b"1", lambda: make(200))
        await replays.once(("a",), b"1", lambda: make(200))
        for name in "bc":
            await replays.once((name,), b"1", lambda: make(200))
        await replays.once(("a",), b"1", lambda: make(201))
        await replays.once(("large",), b"1", lambda: make(202, b"x" * 200))
        await replays.once(("large",), b"1", lambda: make(202, b"x" * 200))
        return made

    assert asyncio.run(main()) == [500, 200, 200, 200, 201, 202, 202]
