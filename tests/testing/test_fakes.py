import asyncio
import itertools
from collections import Counter

import pytest

from athlos import ConfigError, Deadlines, Message, ModelError, Retry
from athlos.models.transport import TransportError
from athlos.testing import FakeTransport, Faults, call, completions, fake_model, simulate

REQUEST = b'{"model":"fake","messages":[{"role":"user","content":"Hi."}]}'
KINDS = (
    "refused", "reset", "http_500", "http_503", "http_429", "garbled", "hang", "slow", "length",
    "abort",
)  # fmt: skip


def echo(messages):
    return messages[-1].text


def transport(**options):
    return FakeTransport(completions(echo), keep_requests=False, **options)


async def outcome(fake, limit=1000.0):
    """What one request comes to."""
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(limit):
            response = await fake.send("POST", "/chat/completions", REQUEST)
    except TransportError as error:
        return error.kind
    except TimeoutError:
        return "hang"
    if response.status != 200:
        return f"http_{response.status}"
    for reason in ("length", "abort"):
        if f'"finish_reason":"{reason}"'.encode() in response.body:
            return reason
    if not response.body.startswith(b"{"):
        return "garbled"
    return "slow" if asyncio.get_running_loop().time() - start >= 60 else "ok"


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_always_comes_always_comes(kind):
    async def main():
        fake = transport(faults=Faults(**{kind: 1.0}))
        seen = {await outcome(fake) for _ in range(20)}
        return seen, fake.met

    seen, met = simulate(main)
    assert seen == {"connect" if kind == "refused" else kind}
    assert met == {kind: 20}


def test_faults_come_as_often_as_asked_for():
    rates = {kind: 0.01 * (index + 1) for index, kind in enumerate(KINDS)}

    async def main():
        fake = transport(faults=Faults(**rates))
        seen = Counter(await asyncio.gather(*(outcome(fake) for _ in range(5_000))))
        return fake, seen

    fake, seen = simulate(main)
    assert fake.sent == 5_000
    assert seen.pop("connect") == fake.met.pop("refused")
    for kind, rate in rates.items():
        if kind != "refused":
            assert seen[kind] == fake.met[kind]
            assert abs(seen[kind] - 5_000 * rate) < 5 * (5_000 * rate) ** 0.5
    assert seen["ok"] == 5_000 - fake.met.total() - (5_000 - sum(seen.values()))


def test_the_seed_of_the_simulation_decides_the_faults_unless_they_have_their_own():
    def kinds(seed, own=None):
        async def main():
            fake = transport(faults=Faults(refused=0.5), seed=own)
            return [await outcome(fake) for _ in range(50)]

        return simulate(main, seed=seed)

    assert kinds(1) == kinds(1) != kinds(2)
    assert kinds(1, own=9) == kinds(2, own=9) != kinds(1)


def test_a_busy_server_says_when_to_come_back():
    async def main():
        fake = transport(faults=Faults(http_429=1.0, retry_after=2.5))
        return await fake.send("POST", "/chat/completions", REQUEST)

    response = simulate(main)
    assert (response.status, response.headers) == (429, {"retry-after": "2.5"})


def test_the_question_for_models_meets_no_fault_but_an_outage():
    async def main():
        fake = transport(faults=Faults(refused=1.0, outages=[(10, 20)]))
        response = await fake.send("GET", "/models")
        await asyncio.sleep(10)
        with pytest.raises(TransportError, match="outage"):
            await fake.send("GET", "/models")
        return response.status

    assert simulate(main) == 200


def test_an_outage_refuses_and_resets_and_ends():
    async def main():
        loop = asyncio.get_running_loop()
        fake = transport(latency=2.0, faults=Faults(outages=[(10, 20), (15, 30)]))
        seen = []
        for start in (0, 9, 10, 16, 29.5, 30):
            await asyncio.sleep(start - loop.time())
            before = loop.time()
            seen.append((start, await outcome(fake), round(loop.time() - before, 3)))
        return seen, fake.met["outage"]

    seen, met = simulate(main)
    assert seen == [
        (0, "ok", 2), (9, "reset", 1), (10, "connect", 0), (16, "connect", 0),
        (29.5, "connect", 0), (30, "ok", 2),
    ]  # fmt: skip
    assert met == 4


@pytest.mark.parametrize(
    "rates", [{"refused": -0.1}, {"refused": 0.6, "reset": 0.6}, {"hang": float("nan")}]
)
def test_rates_that_are_no_probabilities_are_refused(rates):
    with pytest.raises(ConfigError, match="rates of faults"):
        Faults(**rates)


# -- latencies -------------------------------------------------------------------------------------


def test_a_reply_takes_its_time():
    async def main():
        await outcome(transport(latency=3.0))
        return asyncio.get_running_loop().time()

    assert simulate(main) == 3


def test_latencies_are_drawn():
    async def main():
        loop = asyncio.get_running_loop()
        fake = transport(latency=lambda rng: rng.uniform(1, 2))
        times = [loop.time()]
        for _ in range(100):
            await outcome(fake)
            times.append(loop.time())
        return [b - a for a, b in itertools.pairwise(times)]

    taken = simulate(main)
    assert 1 <= min(taken) < max(taken) <= 2
    assert 1.4 < sum(taken) / 100 < 1.6


def test_it_works_in_real_time_too():
    async def main():
        model = fake_model(echo, latency=0.001, faults=Faults(http_500=0.3), retry=Retry(base=0))
        return [(await model.chat([Message("user", "Hi.")])).message.text for _ in range(20)]

    assert asyncio.run(main()) == ["Hi."] * 20


# -- the fake model --------------------------------------------------------------------------------


def test_a_model_repeats_what_meets_a_fault():
    async def main():
        model = fake_model(
            echo,
            latency=1.0,
            faults=Faults(
                refused=0.1, reset=0.1, http_503=0.1, http_429=0.1, garbled=0.1, hang=0.1
            ),
            deadlines=Deadlines(first_byte=5.0, total=10_000.0),
        )
        replies = await asyncio.gather(*(model.chat([Message("user", "Hi.")]) for _ in range(200)))
        return [(reply.message.text, reply.tries) for reply in replies]

    replies = simulate(main)
    assert {text for text, _ in replies} == {"Hi."}
    assert max(tries for _, tries in replies) > 3
    assert simulate(main) == replies


def test_a_model_gives_up_when_its_rule_says_so():
    async def main():
        model = fake_model(echo, faults=Faults(abort=1.0), retry=Retry(max_tries=3))
        with pytest.raises(ModelError, match="gave the completion up"):
            await model.chat([Message("user", "Hi.")])

    simulate(main)


def test_policies_may_be_async_and_call_tools():
    async def policy(messages):
        await asyncio.sleep(1)
        return call("add", amount=len(messages))

    async def main():
        reply = await fake_model(policy).chat([Message("user", "Hi.")])
        return reply.finish_reason, reply.message.tool_calls[0].function.arguments

    assert simulate(main) == ("tool_calls", '{"amount":1}')


@pytest.mark.parametrize("keep", [True, False])
def test_requests_are_kept_unless_told_otherwise(keep):
    async def main():
        fake = FakeTransport(completions(echo), keep_requests=keep)
        for _ in range(3):
            await fake.send("POST", "/chat/completions", REQUEST)
        return fake.sent, fake.requests

    sent, requests = simulate(main)
    assert sent == 3
    assert [r["messages"][0]["content"] for r in requests] == ["Hi."] * 3 * keep


def test_a_handler_may_answer_with_anything():
    async def main():
        fake = FakeTransport(lambda method, path, request: (418, [method, path, request]))
        return await fake.send("POST", "/tea", b"[1]")

    response = simulate(main)
    assert (response.status, response.body) == (418, b'["POST","/tea",[1]]')
