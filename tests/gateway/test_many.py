"""Many calls at once, and harnesses that go away."""

import asyncio
import gc
import random

import pytest
from tests.gateway.helpers import QUESTION, echo, events, rollout, run, until

from athlos import Retry
from athlos.sequences import build

CHAT = "/chat/completions"
CALLS = 1000
LEASES = 50


def deltas(body):
    return "".join(
        choice["delta"].get("content") or "" for one in events(body) for choice in one["choices"]
    )


def said_by_messages(body):
    texts = [one["delta"].get("text", "") for one in events(body) if "delta" in one]
    return "".join(texts)


def said_by_responses(body):
    return "".join(one["delta"] for one in events(body) if one["type"].endswith("text.delta"))


APIS = {
    CHAT: ("messages", deltas),
    "/messages": ("messages", said_by_messages),
    "/responses": ("input", said_by_responses),
}


def test_a_thousand_streams_at_once_are_not_mixed_up():
    async def main(setting):
        rng = random.Random(1)
        leases = [setting.gateway.open(rollout(f"r{n}")) for n in range(LEASES)]

        async def ask(number):
            lease = leases[number % LEASES]
            text = f"{number} of {lease.name}: {rng.randrange(10**9)}"
            path = list(APIS)[number // LEASES % 3]
            field, read = APIS[path]
            body = {field: [{"role": "user", "content": text}], "max_tokens": 100, "stream": True}
            answer = await setting.harness.post(lease, path, body)
            return lease, text, read(answer.body)

        setting.stub.faults.token_delay = 0.005
        answers = await asyncio.gather(*(ask(number) for number in range(CALLS)))
        for lease in leases:
            lease.close()
        assert await until(lambda: setting.stub.counters.in_flight == 0)
        return answers, leases, setting.stub.counters.most_in_flight

    answers, leases, most = run(main, stub={"policy": echo, "step": 3})
    assert [(text, heard) for _, text, heard in answers if heard != text] == []
    assert most > CALLS // 4
    for lease in leases:
        found = {bytes(call.request): call for call in lease.rollout.calls}
        assert len(lease.rollout.calls) == len(found) == CALLS // LEASES
        assert all(f"of {lease.name}:" in request.decode() for request in found)
        assert all(call.complete and call.token_ids for call in found.values())
        assert build(lease.rollout).dropped == []


@pytest.mark.parametrize("path", list(APIS))
def test_a_harness_that_goes_away_leaves_nothing_behind(path):
    async def main(setting):
        setting.stub.faults.token_delay = 0.03
        field, _ = APIS[path]
        words = " ".join(f"word{n}" for n in range(60))
        body = {field: [{"role": "user", "content": words}], "max_tokens": 999, "stream": True}
        before = asyncio.all_tasks()
        for _ in range(5):
            async with setting.harness.stream(setting.lease, path, body) as chunks:
                count = 0
                async for _ in chunks:
                    count += 1
                    if count > 5:
                        break
        gone = await until(lambda: setting.stub.counters.in_flight == 0 and not setting.lease.busy)
        await asyncio.sleep(0.1)
        gc.collect()
        left = asyncio.all_tasks() - before
        after = await setting.harness.post(setting.lease, CHAT, {"messages": QUESTION})
        return gone, left, after, setting.lease, setting.stub.counters

    gone, left, after, lease, counters = run(main, stub={"policy": echo})
    assert gone and not left and after.status == 200
    assert counters.cancelled == 5
    *cut, last = lease.rollout.calls
    assert [call.complete for call in cut] == [False] * 5 and last.complete
    assert all(0 < len(call.token_ids) == len(call.logprobs) < 60 for call in cut)
    assert all(call.prompt_token_ids for call in cut)
    assert {call.finish_reason for call in cut} == {"cancelled"}
    assert lease.errors == []
    assert [found.reason for found in build(lease.rollout).dropped] == ["incomplete"] * 5


def test_a_harness_that_goes_away_before_the_reply_begins_stops_the_server():
    async def main(setting):
        setting.stub.faults.latency = 5.0
        asked = asyncio.create_task(
            setting.harness.post(setting.lease, CHAT, {"messages": QUESTION})
        )
        assert await until(lambda: setting.lease.busy and setting.stub.counters.in_flight)
        asked.cancel()
        gone = await until(lambda: setting.stub.counters.in_flight == 0 and not setting.lease.busy)
        return gone, setting.lease.rollout

    gone, found = run(main)
    assert gone
    assert [(call.complete, call.token_ids) for call in found.calls] == [(False, None)]


def test_a_stream_that_breaks_after_its_beginning_is_an_error_and_not_repeated():
    async def main(setting):
        setting.stub.faults.disconnect_at = 4
        texts = [{"role": "user", "content": "one two three four five six"}]
        answers = {}
        for path, (field, _) in APIS.items():
            body = {field: texts, "max_tokens": 99, "stream": True}
            answers[path] = await setting.harness.post(setting.lease, path, body)
        return answers, setting.lease, len(setting.sent)

    answers, lease, sent = run(main, stub={"policy": echo}, retry=Retry(max_tries=5))
    assert {answer.status for answer in answers.values()} == {200}
    assert "error" in answers[CHAT].events[-1]
    assert answers["/messages"].events[-1]["type"] == "error"
    assert answers["/responses"].events[-1]["type"] == "response.failed"
    assert sent == 3
    assert [(call.complete, call.finish_reason) for call in lease.rollout.calls] == [
        (False, "error")
    ] * 3
    assert all(call.token_ids for call in lease.rollout.calls)
    assert len(lease.errors) == 3 and not lease.errors[0].retryable


def test_what_fails_before_the_first_event_is_tried_again():
    async def main(setting):
        setting.stub.faults.busy = 2
        answer = await setting.harness.post(
            setting.lease, CHAT, {"messages": QUESTION, "stream": True}
        )
        return answer, setting.lease

    answer, lease = run(main)
    assert answer.status == 200
    assert [(call.tries, call.complete) for call in lease.rollout.calls] == [(3, True)]
    assert lease.errors == []


def test_calls_wait_out_a_pause():
    async def main(setting):
        await setting.model.pause()
        asked = asyncio.create_task(
            setting.harness.post(setting.lease, CHAT, {"messages": QUESTION, "stream": True})
        )
        await asyncio.sleep(0.1)
        waited = not asked.done()
        setting.model.resume(7)
        return waited, await asked, setting.lease.rollout.calls[0]

    waited, answer, call = run(main)
    assert waited and answer.status == 200
    assert call.policy_version == 7


def test_a_stream_that_a_pause_recalls_is_not_begun_again():
    async def main(setting):
        setting.stub.faults.token_delay = 0.05
        body = {"messages": QUESTION, "stream": True}
        asked = asyncio.create_task(setting.harness.post(setting.lease, CHAT, body))
        await until(lambda: any(one.relay.begun for one in setting.lease._pending if one.relay))
        await setting.model.pause(cancel=True)
        setting.model.resume()
        return await asked, setting.lease

    answer, lease = run(main)
    assert "recalled by a pause" in answer.events[-1]["error"]["message"]
    assert [call.complete for call in lease.rollout.calls] == [False]
