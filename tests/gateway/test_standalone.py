import asyncio

import pytest
from tests.fake_server import FakeServer, text
from tests.gateway.helpers import QUESTION, Harness

from athlos import Model
from athlos.errors import ConfigError
from athlos.gateway.standalone import Standalone
from athlos.runs import encode

CHAT = {"messages": QUESTION}


class Service:
    """A stand-alone gateway in front of a fake server, and its records."""

    def __init__(self, standalone, harness, records, fake):
        self.standalone = standalone
        self.harness = harness
        self.records = records
        self.fake = fake

    async def ask(self, method, path, body=None, *, token=None):
        url = self.standalone.gateway.url + path
        key = self.standalone.token if token is None else token
        return await self.harness.send(url, body, key=key, method=method)

    async def chat(self, opened, body=CHAT):
        return await self.harness.send(
            f"{opened['base_url']}/chat/completions", body, key=opened["api_key"]
        )


def run(test, **options):
    async def main():
        records = []
        harness = Harness()
        with FakeServer(lambda request: text("hi")) as fake:
            async with Model(fake.url) as model:
                standalone = Standalone(model, record=records.append, **options)
                async with standalone:
                    found = await test(Service(standalone, harness, records, fake))
                await harness.close()
        return found, records

    return asyncio.run(main())


def test_a_rollout_is_opened_used_and_closed():
    async def main(service):
        opened = await service.ask("POST", "/rollouts", {"id": "a", "pin": {"seed": 1}})
        answer = await service.chat(opened.json)
        seen = await service.ask("GET", "/rollouts/a")
        closed = await service.ask("DELETE", "/rollouts/a", {"reward": 0.5, "rewards": {"x": 0.5}})
        late = await service.chat(opened.json)
        gone = await service.ask("GET", "/rollouts/a")
        return opened, answer, seen, closed, late, gone, service.fake.requests

    (opened, answer, seen, closed, late, gone, sent), records = run(main, pin={"temperature": 1.0})
    assert (opened.status, answer.status, seen.status, closed.status) == (201, 200, 200, 200)
    assert (late.status, gone.status) == (401, 404)
    assert opened.json["environ"]["OPENAI_API_KEY"] == opened.json["api_key"]
    assert seen.json["calls"] == 1
    assert (sent[0]["temperature"], sent[0]["seed"]) == (1.0, 1)
    (record,) = records
    assert (record.id, record.reward, record.rewards) == ("a", 0.5, {"x": 0.5})
    assert (record.answer, record.usage.completion_tokens) == ("hi", 5)
    assert record.timing.model <= record.timing.duration
    assert opened.json["api_key"].encode() not in encode(record)


def test_a_rollout_that_is_not_scored_says_so():
    async def main(service):
        opened = await service.ask("POST", "/rollouts")
        await service.chat(opened.json)
        return await service.ask("DELETE", f"/rollouts/{opened.json['id']}")

    closed, records = run(main)
    assert closed.status == 200
    assert records[0].extra["scored"] is False


def test_only_the_token_opens_rollouts():
    async def main(service):
        opened = await service.ask("POST", "/rollouts", {"id": "a"})
        answers = [
            await service.ask(method, path, token=token)
            for token in ("", "wrong" * 10, opened.json["api_key"])
            for method, path in (
                ("POST", "/rollouts"), ("GET", "/rollouts/a"), ("DELETE", "/rollouts/a"),
                ("GET", "/rollouts/zzz"), ("GET", "/elsewhere"),
            )
        ]  # fmt: skip
        health = await service.ask("GET", "/health", token="")
        as_key = await service.harness.send(
            f"{opened.json['base_url']}/chat/completions", CHAT, key=service.standalone.token
        )
        return answers, health, as_key

    (answers, health, as_key), _ = run(main, token="t" * 32)
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    assert (health.status, as_key.status) == (200, 401)


def test_bad_requests_are_refused():
    async def main(service):
        bodies = [b"{", {"unknown": 1}, {"sample": "x"}, {"deadline": -1}, {"pin": 3}, b"[]"]
        answers = [await service.ask("POST", "/rollouts", body) for body in bodies]
        await service.ask("POST", "/rollouts", {"id": "a"})
        twice = await service.ask("POST", "/rollouts", {"id": "a"})
        again = await service.ask("POST", "/rollouts", {"id": "b", "task_id": "old"})
        return answers, twice, again

    (answers, twice, again), _ = run(main, taken={("old", 0)})
    assert {answer.status for answer in answers} == {400}
    assert (twice.status, again.status) == (409, 409)


def test_open_rollouts_are_kept_when_the_service_ends():
    async def main(service):
        opened = await service.ask("POST", "/rollouts", {"id": "a"})
        await service.chat(opened.json)

    _, records = run(main)
    assert [(r.id, r.status, r.stop_reason) for r in records] == [
        ("a", "truncated", "gateway_closed")
    ]


def test_draining_waits_for_calls_and_takes_no_others():
    async def main(service):
        opened = (await service.ask("POST", "/rollouts", {"id": "a"})).json
        service.fake._latency = 0.3
        under_way = asyncio.create_task(service.chat(opened))
        await asyncio.sleep(0.1)
        draining = asyncio.create_task(service.standalone.gateway.drain(5))
        await asyncio.sleep(0.05)
        refused = await service.chat(opened)
        await draining
        return (await under_way).status, refused.status

    found, _ = run(main)
    assert found == (200, 503)


def test_a_short_token_is_a_mistake():
    with pytest.raises(ConfigError, match="too short"):
        Standalone(Model("http://127.0.0.1:1/v1", "m"), token="secret", record=print)
