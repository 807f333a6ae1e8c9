"""Who may ask: keys, other rollouts' URLs, limits, closed leases."""

import asyncio
import logging

import msgspec
import pytest
from tests.gateway.helpers import QUESTION, rollout, run, until

from athlos import Budget
from athlos.errors import ConfigError
from athlos.runs import encode

CHAT = "/chat/completions"
ASK = {"model": "m", "messages": QUESTION}


def test_a_key_opens_its_own_url_and_no_other():
    async def main(setting):
        one, other = setting.lease, setting.gateway.open(rollout("b"))
        send = setting.harness.send
        url = f"{one.base_url}{CHAT}"
        return {
            "own": await send(url, ASK, key=one.api_key),
            "x-api-key": await send(url, ASK, headers={"x-api-key": one.api_key}),
            "other": await send(url, ASK, key=other.api_key),
            "other x-api-key": await send(url, ASK, headers={"x-api-key": other.api_key}),
            "none": await send(url, ASK),
            "empty": await send(url, ASK, headers={"authorization": "Bearer "}),
            "basic": await send(url, ASK, headers={"authorization": f"Basic {one.api_key}"}),
            "no rollout": await send(f"{setting.gateway.url}/r/zzz/v1{CHAT}", ASK, key=one.api_key),
            "no prefix": await send(f"{setting.gateway.url}/v1{CHAT}", ASK, key=one.api_key),
            "health": await send(f"{setting.gateway.url}/health", method="GET"),
            "models": await send(f"{one.base_url}/models", method="GET"),
        }, len(one.rollout.calls + other.rollout.calls)

    answers, calls = run(main)
    allowed = {"own", "x-api-key"}
    assert {name for name, answer in answers.items() if answer.status == 200} == allowed
    refused = [answer for name, answer in answers.items() if name not in allowed]
    assert {(answer.status, answer.body) for answer in refused} == {(401, refused[0].body)}, (
        "nothing tells whether there is such a rollout"
    )
    assert calls == 2


def test_nemo_gyms_prefixes_are_understood():
    async def main(setting):
        lease = setting.lease
        base = f"{setting.gateway.url}/ng-rollout/{lease.name}"
        answers = [
            await setting.harness.send(f"{base}{path}/v1{CHAT}", ASK, key=lease.api_key)
            for path in ("", "/training-token-capture", "/else")
        ]
        return [answer.status for answer in answers]

    assert run(main) == [200, 200, 404]


def test_a_closed_lease_is_as_if_it_had_never_been():
    async def main(setting):
        setting.lease.close()
        setting.lease.close()
        closed = await setting.post(CHAT, ASK)
        unknown = await setting.harness.send(f"{setting.gateway.url}/r/zzz/v1{CHAT}", ASK, key="k")
        return closed, unknown, setting.lease.rollout, dict(setting.gateway.leases)

    closed, unknown, found, leases = run(main)
    assert closed.status == 401
    assert leases == {}
    assert closed.body == unknown.body
    assert found.calls == []


def test_the_time_of_a_lease_ends_calls_and_keys():
    async def main(setting):
        setting.stub.faults.token_delay = 0.2
        lease = setting.gateway.open(rollout("b"), deadline=0.3)
        cut = await setting.harness.post(lease, CHAT, ASK)
        late = await setting.harness.post(lease, CHAT, ASK)
        assert (await setting.harness.post(lease, "/tokenize", {"prompt": "a"})).status == 401
        assert await until(lambda: setting.stub.counters.in_flight == 0)
        return cut, late, lease.rollout

    cut, late, found = run(main)
    assert (cut.status, cut.json["error"]["code"]) == (504, "rollout_deadline")
    assert (late.status, late.json["error"]["code"]) == (401, "rollout_deadline")
    assert [call.complete for call in found.calls] == [False]


def test_closing_ends_calls_under_way():
    async def main(setting):
        setting.stub.faults.token_delay = 0.2
        asked = [asyncio.create_task(setting.post(CHAT, {**ASK, "stream": s})) for s in (0, 1)]
        assert await until(lambda: setting.lease.busy == 2)
        setting.lease.close()
        calls = [call.complete for call in setting.lease.rollout.calls]
        answers = await asyncio.gather(*asked)
        assert await until(lambda: setting.stub.counters.in_flight == 0)
        return calls, answers, setting.lease

    calls, answers, lease = run(main)
    assert calls == [False, False] == [call.complete for call in lease.rollout.calls]
    assert answers[0].status == 401
    assert lease.busy == 0


def test_the_number_of_calls_may_be_limited():
    async def main(setting):
        lease = setting.gateway.open(rollout("b"), max_calls=2)
        return [await setting.harness.post(lease, CHAT, ASK) for _ in range(3)]

    answers = run(main)
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].json["error"]["code"] == "call_limit_reached"
    assert answers[2].headers["x-should-retry"] == "false"


def test_a_spent_budget_refuses_calls():
    async def main(setting):
        budget = Budget(max_tokens=10)
        lease = setting.gateway.open(rollout("b"), setting.model.session(budget=budget))
        return [await setting.harness.post(lease, CHAT, ASK) for _ in range(2)], lease

    answers, lease = run(main)
    assert [answer.status for answer in answers] == [200, 429]
    error = answers[1].json["error"]
    assert error["type"] == error["code"] == "insufficient_quota"
    assert type(lease.errors[0]).__name__ == "BudgetError"


def test_keys_are_in_no_record_log_or_error(caplog):
    caplog.set_level(logging.DEBUG)

    async def main(setting):
        lease = setting.lease
        answers = [
            await setting.post(CHAT, ASK),
            await setting.post(CHAT, {"messages": 3}),
            await setting.post("/none", ASK),
            await setting.post(CHAT, ASK, key=f"{lease.api_key}x"),
        ]
        lease.close()
        said = encode(lease.rollout) + b"".join(answer.body for answer in answers)
        return lease.api_key, said.decode() + repr(lease) + repr(setting.gateway), setting.sent

    key, said, sent = run(main)
    assert len(key) >= 40
    assert key not in said + caplog.text + str(sent)


def test_names_in_urls_are_safe_and_of_their_own():
    async def main(setting):
        opened = [
            setting.gateway.open(rollout(name)) for name in ("../x y/ü.0.0", "../x y/ü.0.0", "é")
        ]
        answers = [await setting.harness.post(lease, CHAT, ASK) for lease in opened]
        return [lease.name for lease in opened], [answer.status for answer in answers]

    names, statuses = run(main)
    assert names == ["x-y-.0.0", "x-y-.0.0-2", "rollout"]
    assert statuses == [200, 200, 200]


def test_the_record_of_a_lease_can_be_read_again():
    async def main(setting):
        body = b'{\n "messages": [\n {"role": "user", "content": "a"}]}'
        await setting.post(CHAT, body)
        setting.lease.close()
        return encode(setting.lease.rollout)

    line = run(main)
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line)["calls"][0]["request"]["messages"][0]["content"] == "a"


@pytest.mark.parametrize("limits", [{"deadline": 0}, {"max_calls": 0}, {"deadline": -1.0}])
def test_limits_that_make_no_sense_are_mistakes(limits):
    async def main(setting):
        with pytest.raises(ConfigError, match="must be more than 0"):
            setting.gateway.open(rollout(), **limits)
        return True

    assert run(main)


def test_the_environment_names_url_and_key():
    async def main(setting):
        return setting.lease

    lease = run(main)
    environ = lease.environ()
    assert environ["OPENAI_BASE_URL"] == f"{environ['ANTHROPIC_BASE_URL']}/v1" == lease.base_url
    keys = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    assert {environ[name] for name in keys} == {lease.api_key}
