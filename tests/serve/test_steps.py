"""The turn-by-turn flavour: repeated steps, mistakes, and what ends an attempt."""

import asyncio

from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import Environment, Message, Rollout, reward

HAND = {
    "responses_create_params": {"input": "Play."},
    "verifier_metadata": {"seed": "test-1"},
}


class Echo(Environment):
    """Says back what it heard, three times."""

    name = "echo"

    def setup(self):
        self.heard = []

    def reply(self, message: Message):
        self.heard.append(message.text)
        return f"heard {message.text}" if len(self.heard) < 3 else None

    @reward
    def count(self, rollout: Rollout) -> float:
        return float(len(self.heard))


def run(main, environment=Echo, **options):
    async def all_of_it():
        async with serving(environment, **options) as server:
            found = await main(server, Caller(server))
            assert len(server.sessions) == 0 or not options.get("all_end", True)
            return found

    return asyncio.run(all_of_it())


def step(text, **fields):
    return {**ROW, "response": answered(said(text)), **fields}


def test_each_step_is_answered_until_the_environment_ends():
    async def main(server, ask):
        begun = await ask.post("/reset", ROW)
        steps = [(await ask.post("/step", step(text), begun.session)).json for text in "abc"]
        after = await ask.post("/step", step("d"), begun.session)
        closed = await ask.post("/close", {}, begun.session)
        return begun.json, steps, after, closed.status

    begun, steps, after, closed = run(main)
    assert begun["info"] == {"supports_explicit_close": True, "supports_step_idempotency": True}
    assert [s["observation"] for s in steps] == ["heard a", "heard b", None]
    assert [s["terminated"] for s in steps] == [False, False, True]
    assert [s["reward"] for s in steps] == [0.0, 0.0, 3.0]
    assert (after.status, closed) == (410, 200)


def test_a_step_that_comes_again_is_not_taken_twice():
    async def main(server, ask):
        begun = await ask.post("/reset", ROW)
        twice = [
            await ask.post("/step", step("a", _ng_step_request_id="1f"), begun.session)
            for _ in "ab"
        ]
        rest = [(await ask.post("/step", step(t), begun.session)).json for t in "bc"]
        return [t.json for t in twice], rest

    twice, rest = run(main)
    assert twice[0] == twice[1]
    assert rest[-1]["reward"] == 3.0


def test_steps_at_once_are_taken_one_after_another():
    async def main(server, ask):
        begun = await ask.post("/reset", ROW)
        made = [ask.post("/step", step(text), begun.session) for text in "ab"]
        both = [reply.json["observation"] for reply in await asyncio.gather(*made)]
        last = await ask.post("/step", step("c"), begun.session)
        return sorted(both), last.json["reward"]

    assert run(main) == (["heard a", "heard b"], 3.0)


def test_too_many_turns_and_cut_answers_truncate():
    async def main(server, ask):
        first = await ask.post("/reset", ROW)
        await ask.post("/step", step("a"), first.session)
        turns = await ask.post("/step", step("b"), first.session)
        second = await ask.post("/reset", ROW)
        cut = step("a")
        cut["response"] |= {"incomplete_details": {"reason": "max_output_tokens"}}
        return turns.json, (await ask.post("/step", cut, second.session)).json

    turns, cut = run(main, max_turns=2)
    assert (turns["truncated"], turns["info"]["stop_reason"]) == (True, "max_turns")
    assert (cut["truncated"], cut["info"]["stop_reason"]) == (True, "max_tokens")


def test_flavours_do_not_mix():
    async def main(server, ask):
        stepped = await ask.post("/reset", HAND)
        seeded = await ask.post("/seed_session", HAND)
        replies = [
            await ask.post("/verify", step("a"), stepped.session),
            await ask.post("/step", step("a"), seeded.session),
        ]
        for session in (stepped.session, seeded.session):
            await ask.post("/close", {}, session)
        return replies

    for reply in run(main, "blackjack"):
        assert (reply.status, reply.code) == (409, "wrong_flavour")


def test_several_turns_are_no_step():
    async def main(server, ask):
        begun = await ask.post("/reset", ROW)
        user = {"type": "message", "role": "user", "content": "?"}
        body = {**ROW, "response": answered(said("a"), user, said("b"))}
        refused = await ask.post("/step", body, begun.session)
        goes_on = await ask.post("/step", step("a"), begun.session)
        await ask.post("/close", {}, begun.session)
        return refused, goes_on

    refused, goes_on = run(main)
    assert (refused.status, refused.code) == (422, "invalid_response")
    assert goes_on.json["observation"] == "heard a"
