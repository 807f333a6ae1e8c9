"""Pausing around a weight update."""

import asyncio

import pytest
from tests.fake_server import FakeServer, Fault, text
from tests.models.servers import Server

from athlos import Deadlines, Message, Model, ModelError
from athlos.testing import simulate

HELLO = [Message("user", "hello")]


def test_a_pause_lets_requests_end_and_begins_none():
    async def main():
        server = Server(latency=10.0)
        model = Model(name="m", transport=server)
        first = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(1)
        await model.pause()
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.1)
        assert first.done()
        assert model.paused
        second = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(100)
        assert server.sent == 1
        assert (model.waiting, model.status()) == (1, "paused")
        model.resume(version=7)
        assert not model.paused
        assert (await first).version is None
        assert (await second).version == 7
        assert model.version == 7
        model.resume()
        assert model.version == 7

    simulate(main)


def test_cancelled_requests_are_sent_again_and_are_no_failures():
    async def main():
        server = Server(latency=10.0)
        model = Model(name="m", transport=server)
        calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(50)]
        await asyncio.sleep(1)
        await model.pause(cancel=True)
        assert asyncio.get_running_loop().time() < 1.1
        assert server.under_way == 0
        model.resume(3)
        replies = await asyncio.gather(*calls)
        assert {(reply.tries, reply.version) for reply in replies} == {(1, 3)}
        assert server.sent == 100
        assert model.trouble == ""
        assert not any(call.cancelling() for call in calls)

    simulate(main)


def test_a_version_is_that_of_the_sending():
    async def main():
        model = Model(name="m", transport=Server(latency=10.0))
        model.version = 1
        call = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(1)
        model.resume(version=2)
        assert (await call).version == 1

    simulate(main)


def test_the_pause_does_not_count_against_deadlines():
    async def main():
        server = Server(latency=1.0)
        model = Model(name="m", transport=server, deadlines=Deadlines(total=10))
        await model.pause()
        call = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(1000)
        model.resume()
        assert (await call).message.text == "hi"

    simulate(main)


def test_a_deadline_holds_again_after_the_pause():
    async def main():
        server = Server(latency=1.0)
        server.fault = "refused"
        model = Model(name="m", transport=server, deadlines=Deadlines(total=20))
        call = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(10)
        await model.pause()
        await asyncio.sleep(1000)
        model.resume()
        with pytest.raises(ModelError, match="within 20 s"):
            await call
        assert asyncio.get_running_loop().time() == pytest.approx(1020, abs=2)

    simulate(main)


def test_cancelling_a_call_is_not_mistaken_for_the_pause():
    async def main():
        server = Server(latency=10.0)
        model = Model(name="m", transport=server)
        call = asyncio.create_task(model.chat(HELLO))
        other = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(1)
        pausing = asyncio.create_task(model.pause(cancel=True))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await pausing
        model.resume()
        assert (await other).tries == 1

    simulate(main)


def test_a_pause_that_is_given_up_is_none():
    async def main():
        model = Model(name="m", transport=Server(latency=100.0))
        call = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await model.pause()
        assert not model.paused
        await asyncio.gather(call, model.chat(HELLO))

    simulate(main)


def test_two_may_wait_for_one_pause_and_a_pause_of_nothing_is_immediate():
    async def main():
        model = Model(name="m", transport=Server(latency=3.0))
        await model.pause()
        model.resume()
        call = asyncio.create_task(model.chat(HELLO))
        await asyncio.sleep(1)
        await asyncio.gather(model.pause(), model.pause())
        assert call.done()
        model.resume()
        model.resume()
        await model.chat(HELLO)

    simulate(main)


def test_a_pause_and_two_replicas_over_real_sockets():
    def hanging(request, connection):
        return Fault(hang=True) if request <= 10 else None

    async def main(urls, servers):
        async with Model(urls) as model:
            await model.connect()
            calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(20)]
            while any(len(server.requests) < 10 for server in servers):
                await asyncio.sleep(0.01)
            await model.pause(cancel=True)
            model.resume(version=1)
            return await asyncio.gather(*calls)

    with (
        FakeServer(lambda request: text("hi"), chaos=hanging) as one,
        FakeServer(lambda request: text("hi"), chaos=hanging) as two,
    ):
        replies = asyncio.run(main([one.url, two.url], [one, two]))
    assert {(reply.tries, reply.version) for reply in replies} == {(1, 1)}
