"""Outages, in simulated time: few requests too many, and everything is answered in the end."""

import asyncio
import random

import pytest
from tests.models.servers import Server

from athlos import ConfigError, Deadlines, Message, Model, ModelError, Retry
from athlos.testing import simulate

HELLO = [Message("user", "hello")]


async def run(model, server, *, workers, needed, after=0.0, seconds=0.0, fault=None):
    """Makes calls with an outage in the middle; how often the server was asked."""
    jobs = iter(range(needed))

    async def work():
        for _ in jobs:
            await model.chat(HELLO)

    outage = asyncio.create_task(server.outage(after, seconds, fault))
    await asyncio.gather(*(work() for _ in range(workers)))
    await outage
    assert model.waiting == 0
    return server.sent


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("workers", [64, 512])
@pytest.mark.parametrize("fault", ["refused", 503, 500, "hang", (503, {"retry-after": "1"})])
def test_an_outage_costs_few_requests(fault, workers, seed):
    async def main():
        server = Server(latency=1.0)
        model = Model(
            name="m", transport=server, deadlines=Deadlines(first_byte=5), rng=random.Random(seed)
        )
        needed = 12 * workers
        sent = await run(
            model, server, workers=workers, needed=needed, after=5.5, seconds=60, fault=fault
        )
        assert needed < sent <= 1.1 * needed
        return asyncio.get_running_loop().time()

    assert simulate(main, seed=seed) < 60 + 60


@pytest.mark.parametrize("fault", ["refused", 503, (429, {}), (429, {"retry-after": "2"})])
def test_a_lone_call_outlives_an_outage(fault):
    async def main():
        server = Server()
        model = Model(name="m", transport=server, rng=random.Random(0))
        sent = await run(model, server, workers=1, needed=1, after=0, seconds=300, fault=fault)
        assert sent < 60

    simulate(main)


def test_an_outage_that_lasts_ends_every_call_at_its_deadline():
    async def main():
        server = Server()
        server.fault = "refused"
        model = Model(name="m", transport=server, deadlines=Deadlines(total=100))
        calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(50)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, ModelError) and error.retryable for error in results)
        assert "within 100 s" in results[-1].message
        assert "connection refused" in results[-1].message
        assert 100 <= asyncio.get_running_loop().time() < 103
        assert server.sent < 70
        assert model.waiting == 0

    simulate(main)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_that_fails_half_of_all_requests_is_not_held_back(seed):
    class Flaky(Server):
        rng = random.Random(seed)

        async def answer(self):
            self.fault = 500 if self.rng.random() < 0.5 else None
            return await super().answer()

    async def main():
        server = Flaky()
        retry = Retry(base=0.1, cap=0.1)
        model = Model(name="m", transport=server, retry=retry, rng=random.Random(seed))
        await run(model, server, workers=64, needed=6400)
        return asyncio.get_running_loop().time()

    assert simulate(main, seed=seed) < 1.15 * 100 + 12


def test_only_the_probe_is_sent_while_the_server_is_out():
    async def main():
        server = Server()
        model = Model(name="m", transport=server, rng=random.Random(0))
        server.fault = "refused"
        calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(100)]
        await asyncio.sleep(0.5)
        sent = server.sent
        status = model.status()
        assert "waiting for in-process: connection refused; next try in" in status
        assert model.waiting == 100
        await asyncio.sleep(59.5)
        assert server.sent - sent <= 8
        server.fault = None
        await asyncio.gather(*calls)
        assert model.status() == ""

    simulate(main)


def test_a_line_that_is_cancelled_leaves_nothing_behind():
    async def main():
        server = Server()
        model = Model(name="m", transport=server, connections=2)
        calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(10)]
        await asyncio.sleep(0.5)
        assert (server.under_way, model.waiting) == (2, 8)
        for call in calls[:9]:
            call.cancel()
        assert (await calls[9]).message.text == "hi"
        assert model.waiting == 0
        assert server.sent == 3

    simulate(main)


def test_the_line_is_first_in_first_out():
    async def main():
        server = Server()
        model = Model(name="m", transport=server, connections=1)
        ended = []

        async def work(number):
            await model.chat(HELLO)
            ended.append(number)

        await asyncio.gather(*(work(number) for number in range(20)))
        assert ended == list(range(20))
        assert server.most == 1

    simulate(main)


def test_retry_after_holds_everybody():
    async def main():
        server = Server(latency=0.1)
        model = Model(name="m", transport=server)
        server.fault = (429, {"retry-after": "30"})
        first = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(0.01)
        server.fault = None
        others = [asyncio.create_task(model.chat(HELLO)) for _ in range(5)]
        await asyncio.sleep(10)
        assert server.sent == 1
        assert model.status() == "in-process asks to wait for 20 s"
        await asyncio.gather(first, *others)
        assert min(server.times[1:]) >= 30

    simulate(main)


def test_a_limit_that_was_lowered_is_explained():
    async def main():
        server = Server(latency=5.0)
        model = Model(name="m", transport=server)
        calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(9)]
        await asyncio.sleep(0)
        server.fault = 429
        calls.append(asyncio.create_task(model.chat(HELLO)))
        await asyncio.sleep(1)
        server.fault = None
        calls += [asyncio.create_task(model.chat(HELLO)) for _ in range(9)]
        await asyncio.sleep(1)
        assert model.status() == "limit lowered to 7 by HTTP 429"
        await asyncio.gather(*calls)

    simulate(main)


def test_connections_must_be_some():
    with pytest.raises(ConfigError, match="connections must be at least 1"):
        Model(name="m", transport=Server(), connections=0)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_in_chaos(seed):
    class Chaotic(Server):
        rng = random.Random(seed)

        async def answer(self):
            self.latency = self.rng.expovariate(1.0)
            self.fault = self.rng.choice(
                [None] * 6 + [500, 429, (429, {"retry-after": "1"}), "refused", "hang", 503]
            )
            return await super().answer()

    async def main():
        servers = [Chaotic(), Chaotic()]
        rng = random.Random(seed)
        model = Model(
            name="m", transport=servers, rng=rng, deadlines=Deadlines(first_byte=10, total=1e5)
        )

        async def work(number):
            session = model.session(str(number % 7))
            for _ in range(10):
                try:
                    async with asyncio.timeout(rng.uniform(1, 400)):
                        await session.chat(HELLO)
                except TimeoutError:
                    pass

        async def pauses():
            while True:
                await asyncio.sleep(rng.expovariate(0.05))
                await model.pause(cancel=rng.random() < 0.5)
                assert sum(server.under_way for server in servers) == 0
                await asyncio.sleep(rng.expovariate(0.2))
                model.resume()

        disturbing = asyncio.create_task(pauses())
        await asyncio.gather(*(work(number) for number in range(50)))
        disturbing.cancel()
        model.resume()
        assert model.waiting == 0
        assert not any(replica.governor.under_way for replica in model._replicas.all)

    simulate(main, seed=seed)
