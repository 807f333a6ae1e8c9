"""Sessions: whose they are, how many there may be, and that every one ends with its teardown."""

import asyncio
import gc
import os

from tests.serve.helpers import ROW, Caller, Wire, answered, said, serving

from athlos import Environment, Rollout, ToolError, reward, tool
from athlos.errors import JudgeError


class Probe(Environment):
    """Says what happens to it."""

    name = "probe"
    events = []
    open_ones = 0

    def setup(self):
        if self.task.info.get("fail"):
            raise RuntimeError("no setup today")
        self.value = 0
        self.running = 0
        Probe.open_ones += 1

    def teardown(self):
        Probe.open_ones -= 1
        Probe.events.append("teardown")

    @tool
    async def slow(self, seconds: float) -> int:
        self.running += 1
        most = self.running
        await asyncio.sleep(seconds)
        most = max(most, self.running)
        self.running -= 1
        return most

    @tool
    def put(self, value: int) -> str:
        self.value = value
        return f"put {value}"

    @tool
    def get(self) -> dict[str, int]:
        return {"value": self.value}

    @tool
    def fail(self, how: str) -> str:
        if how == "tool":
            raise ToolError("try something else")
        if how == "judge":
            raise JudgeError("the judge is asleep")
        raise ValueError("a bug")

    @tool
    def finish(self) -> str:
        self.done = True
        return "finished"

    @reward
    def score(self, rollout: Rollout) -> float:
        if self.task.info.get("bad_reward"):
            raise RuntimeError("no reward today")
        return float(self.value)


class OneByOne(Probe):
    name = "one_by_one"
    parallel_tools = False


def run(main, *environments, **options):
    async def all_of_it():
        Probe.events, Probe.open_ones = [], 0
        async with serving(*(environments or (Probe,)), **options) as server:
            found = await main(server, Caller(server))
        assert Probe.open_ones == 0, "a session was not taken down"
        return found

    return asyncio.run(all_of_it())


def verify(row, text="done"):
    return {**row, "response": answered(said(text))}


def test_a_session_keeps_its_state_and_ends_with_verify():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        put = await ask.post("/put", {"value": 3}, begun.session)
        got = await ask.post("/get", {}, begun.session)
        scored = await ask.post("/verify", verify(ROW), begun.session)
        return put, got, scored, list(Probe.events), len(server.sessions)

    put, got, scored, events, left = run(main)
    assert (put.text, got.json) == ("put 3", {"value": 3})
    assert scored.json["reward"] == 3.0
    assert (events, left) == (["teardown"], 0)


def test_a_cookie_is_as_good_as_the_header_and_comes_with_every_reply():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        cookie = begun.headers["set-cookie"].partition(";")[0]
        put = await ask.post("/put", {"value": 3}, cookie=f"other=1; {cookie}; more=2")
        return begun.headers["set-cookie"], put

    cookie, put = run(main)
    assert put.text == "put 3"
    assert put.headers["set-cookie"] == cookie
    assert "HttpOnly" in cookie and cookie.startswith("Probe___probe=")


def test_names_of_sessions_are_long_and_never_the_same():
    async def main(server, ask):
        names = [(await ask.post("/seed_session", ROW)).headers["athlos-session"] for _ in "abcde"]
        guess = names[0][:-1] + ("A" if names[0][-1] != "A" else "B")
        other = await ask.post("/get", {}, {"athlos-session": guess})
        return names, other

    names, other = run(main)
    assert len(set(names)) == 5
    assert min(map(len, names)) >= 32
    assert (other.status, other.code) == (404, "no_such_session")


def test_a_session_of_one_environment_opens_no_other():
    async def main(server, ask):
        begun = await ask.post("/probe/seed_session", ROW)
        here = await ask.post("/probe/get", {}, begun.session)
        there = await ask.post("/one_by_one/get", {}, begun.session)
        return here.status, there.status

    assert run(main, Probe, OneByOne) == (200, 404)


def test_without_a_session_no_tool_runs():
    async def main(server, ask):
        return await ask.post("/put", {"value": 1})

    refused = run(main)
    assert (refused.status, refused.code) == (404, "no_session")


def test_there_are_no_more_than_the_cap_and_closing_makes_room():
    async def main(server, ask):
        first = await ask.post("/seed_session", ROW)
        await ask.post("/seed_session", ROW)
        third = await ask.post("/seed_session", ROW)
        closed = await ask.post("/close", {}, first.session)
        fourth = await ask.post("/seed_session", ROW)
        return third, closed, fourth, list(Probe.events)

    third, closed, fourth, events = run(main, max_sessions=2)
    assert (third.status, third.code, third.json["error"]["retryable"]) == (
        503, "too_many_sessions", True,
    )  # fmt: skip
    assert third.headers["retry-after"] == "5"
    assert (closed.status, fourth.status) == (200, 200)
    assert events == ["teardown"]


def test_closing_twice_is_no_mistake_and_a_closed_session_is_gone():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        codes = [(await ask.post("/close", {}, begun.session)).status for _ in "ab"]
        return codes, await ask.post("/get", {}, begun.session)

    codes, after = run(main)
    assert codes == [200, 200]
    assert (after.status, after.code) == (410, "session_over")


def test_abandoned_sessions_are_reaped_and_used_ones_are_not():
    async def main(server, ask):
        kept = await ask.post("/seed_session", ROW)

        async def abandon(count):
            wire = Wire(server)
            for _ in range(count):
                assert (await wire.post("/seed_session", ROW)).status == 200
            wire.close()

        abandoned = asyncio.gather(*(abandon(50) for _ in range(20)))
        status = 200
        while status == 200 and not (abandoned.done() and len(server.sessions) <= 1):
            status = (await ask.post("/get", {}, kept.session)).status
            await asyncio.sleep(0.05)
        await abandoned
        for _ in range(200):  # what reaping began may still be under way
            gc.collect()
            left = sum(isinstance(thing, Probe) for thing in gc.get_objects())
            if left == 1:
                break
            await asyncio.sleep(0.05)
        return status, len(server.sessions), Probe.open_ones, server.sessions.reaped, left

    assert run(main, lease=3.0) == (200, 1, 1, 1000, 1)


def test_a_session_under_way_outlives_its_lease():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        return await ask.post("/slow", {"seconds": 0.8}, begun.session)

    assert run(main, lease=0.1).text == "1"


def test_an_attempt_has_a_deadline():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        while Probe.open_ones:
            await asyncio.sleep(0.05)
        return await ask.post("/get", {}, begun.session)

    late = run(main, deadline=0.3)
    assert late.json["error"]["failure_class"] == "timeout"
    assert late.status == 504


def test_a_failing_setup_leaves_no_session():
    async def main(server, ask):
        refused = await ask.post("/seed_session", {**ROW, "fail": True})
        return refused, len(server.sessions)

    refused, left = run_failing_setup(main)
    assert (refused.status, refused.json["error"]["failure_class"]) == (500, "environment_error")
    assert left == 0


def run_failing_setup(main):
    async def all_of_it():
        async with serving(Probe) as server:
            return await main(server, Caller(server))

    return asyncio.run(all_of_it())


def test_tools_of_one_session_run_at_once_unless_the_environment_says_otherwise():
    async def main(server, ask):
        most = {}
        for name in ("probe", "one_by_one"):
            begun = await ask.post(f"/{name}/seed_session", ROW)
            calls = [ask.post(f"/{name}/slow", {"seconds": 0.2}, begun.session) for _ in "abc"]
            most[name] = max(int(answer.text) for answer in await asyncio.gather(*calls))
        return most

    most = run(main, Probe, OneByOne)
    assert most["probe"] > 1
    assert most["one_by_one"] == 1


def test_verify_waits_for_tools_under_way_and_lets_no_others_in():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        slow = asyncio.ensure_future(ask.post("/slow", {"seconds": 0.4}, begun.session))
        await asyncio.sleep(0.15)
        scoring = asyncio.ensure_future(ask.post("/verify", verify(ROW), begun.session))
        await asyncio.sleep(0.1)
        late = await ask.post("/put", {"value": 9}, begun.session)
        return await slow, late, await scoring

    slow, late, scored = run(main)
    assert slow.status == 200
    assert late.status == 409
    assert scored.json["reward"] == 0.0


def test_what_a_tool_says_of_a_mistake_is_for_the_model():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        return [
            await ask.post("/fail", {"how": "tool"}, begun.session),
            await ask.post("/fail", {"how": "bug"}, begun.session),
            await ask.post("/fail", {"who": "?"}, begun.session),
            await ask.post("/fail", b'{"how": ', begun.session),
        ]

    replies = run(main)
    assert [reply.status for reply in replies] == [200] * 4
    assert [reply.headers["content-type"].partition(";")[0] for reply in replies] == [
        "text/plain"
    ] * 4
    assert replies[0].text == "Error: try something else"
    assert replies[1].text == "Error: ValueError: a bug"
    assert replies[2].text.startswith("Error: Invalid arguments for fail")
    assert "not valid JSON" in replies[3].text


def test_an_infrastructure_failure_in_a_tool_is_no_reward_later():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        failed = await ask.post("/fail", {"how": "judge"}, begun.session)
        scored = await ask.post("/verify", verify(ROW), begun.session)
        return failed, scored, list(Probe.events)

    failed, scored, events = run(main)
    for reply in (failed, scored):
        assert reply.status == 502
        assert reply.json["error"]["failure_class"] == "judge_error"
        assert reply.json["error"]["retryable"] is True
    assert events == ["teardown"]


def test_a_reward_that_raises_is_a_verifier_error():
    async def main(server, ask):
        row = {**ROW, "bad_reward": True}
        begun = await ask.post("/seed_session", row)
        first = await ask.post("/verify", verify(row), begun.session)
        again = await ask.post("/verify", verify(row), begun.session)
        alone = await ask.post("/verify", verify(row))
        return first, again, alone

    for reply in run(main):
        assert reply.status == 500
        assert reply.json["error"]["failure_class"] == "verifier_error"
        assert "reward" not in reply.json


def test_a_request_that_takes_too_long_ends_its_attempt():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        late = await ask.post("/slow", {"seconds": 30}, begun.session)
        after = await ask.post("/verify", verify(ROW), begun.session)
        return late, after

    late, after = run(main, timeout=0.3)
    assert (late.status, late.json["error"]["failure_class"]) == (504, "timeout")
    assert (after.status, after.json["error"]["failure_class"]) == (504, "timeout")


def test_after_the_environment_ended_the_attempt_no_tool_runs():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        await ask.post("/put", {"value": 1}, begun.session)
        await ask.post("/finish", {}, begun.session)
        late = await ask.post("/put", {"value": 100}, begun.session)
        scored = await ask.post("/verify", verify(ROW), begun.session)
        return late, scored

    late, scored = run(main)
    assert late.status == 409
    assert (scored.json["reward"], scored.json["stop_reason"]) == (1.0, "environment")


def test_verify_again_says_the_same_and_of_another_answer_nothing():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        await ask.post("/put", {"value": 4}, begun.session)
        same = [await ask.post("/verify", verify(ROW), begun.session) for _ in "abc"]
        other = await ask.post("/verify", verify(ROW, "no, wait"), begun.session)
        return same, other

    same, other = run(main)
    assert [reply.json["reward"] for reply in same] == [4.0] * 3
    assert (other.status, other.code) == (410, "session_over")


def test_a_task_offers_only_its_own_tools():
    async def main(server, ask):
        params = {**ROW["responses_create_params"], "tools": [{"type": "function", "name": "get"}]}
        begun = await ask.post("/seed_session", {**ROW, "responses_create_params": params})
        return [await ask.post(f"/{name}", {"value": 1}, begun.session) for name in ("put", "nix")]

    for reply in run(main):
        assert reply.status == 404
        assert reply.text.startswith("Error: there is no tool named")
        assert "The tools are: get." in reply.text


def test_sessions_at_once_are_not_mixed_up():
    """ATHLOS_SESSIONS=5000 is the long form."""
    count = int(os.environ.get("ATHLOS_SESSIONS", "300"))

    async def main(server, ask):
        all_open = asyncio.Barrier(count)
        most = 0

        async def attempt(number):
            nonlocal most
            wire = Wire(server)
            row = {**ROW, "verifier_metadata": {"n": number}}
            begun = await wire.post("/seed_session", row)
            name = begun.headers["athlos-session"]
            await all_open.wait()
            most = max(most, len(server.sessions))
            for value in (1, number):
                await wire.post("/put", {"value": value}, athlos_session=name)
            got = await wire.post("/get", {}, athlos_session=name)
            scored = await wire.post("/verify", verify(row), athlos_session=name)
            wire.close()
            return got.json["value"], scored.json["reward"]

        found = await asyncio.gather(*(attempt(number) for number in range(count)))
        return found, most, len(server.sessions)

    found, most, left = run(main)
    assert found == [(number, float(number)) for number in range(count)]
    assert (most, left) == (count, 0)


def test_beginning_anew_with_the_cookie_of_a_session_closes_that_one():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        cookie = begun.headers["set-cookie"].partition(";")[0]
        await ask.post("/seed_session", ROW, cookie=cookie)
        return len(server.sessions), (await ask.post("/get", {}, begun.session)).status

    assert run(main) == (1, 410)


def test_a_setup_that_takes_too_long_is_taken_down_before_the_server_ends():
    class Late(Probe):
        name = "late"

        async def setup(self):
            Probe.open_ones += 1
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.3)

    async def main(server, ask):
        return await ask.post("/seed_session", ROW)

    late = run(main, Late, timeout=0.2)
    assert (late.status, late.json["error"]["failure_class"]) == (504, "timeout")


def test_a_closing_server_takes_every_session_down():
    async def main(server, ask):
        for _ in range(10):
            await ask.post("/seed_session", ROW)
        await server.close()
        return Probe.open_ones, Probe.events

    assert run(main) == (0, ["teardown"] * 10)
