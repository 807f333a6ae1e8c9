"""Several servers of one model."""

import asyncio
import logging
import random

import pytest
from tests.models.servers import OK, Server

from athlos import ConfigError, Message, Model
from athlos.models.transport import Response
from athlos.testing import simulate

HELLO = [Message("user", "hello")]


class Busy(Server):
    """A server that is loading its weights."""

    async def send(self, method, path, body=None):
        return Response(503, {}, b"loading")


def replicas(*servers, name="m", **options):
    return Model(name=name, transport=servers, rng=random.Random(0), **options)


def test_base_urls_are_kept_and_joined():
    model = Model(["http://a:1/v1/", "http://b:2/v1"], "m")
    assert model.base_urls == ["http://a:1/v1", "http://b:2/v1"]
    assert model.base_url == "http://a:1/v1,http://b:2/v1"
    assert Model(model.base_url, "m").base_urls == model.base_urls
    assert replicas(Server(), Server()).base_url == "in-process-1,in-process-2"


def test_a_base_url_may_not_be_there_twice():
    with pytest.raises(ConfigError, match="twice"):
        Model(["http://a:1/v1/", "http://a:1/v1"], "m")


def test_transports_and_base_urls_go_together():
    with pytest.raises(ConfigError, match="1 transports for 2"):
        Model(["http://a", "http://b"], "m", transport=[Server()])


def test_requests_go_where_the_fewest_are_under_way():
    async def main():
        servers = [Server(latency=1.0), Server(latency=3.0), Server(latency=1.0)]
        model = replicas(*servers)
        calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(30)]
        await asyncio.sleep(0.5)
        assert [server.under_way for server in servers] == [10, 10, 10]
        await asyncio.gather(*calls)

    simulate(main)


def test_a_session_stays_with_its_replica_unless_that_has_far_more_to_do():
    async def main():
        servers = [Server(), Server()]
        model = replicas(*servers)
        session = model.session()
        for _ in range(10):
            await session.chat(HELLO)
        assert sorted(server.sent for server in servers) == [0, 10]
        mine = session.replica
        others = [asyncio.create_task(model.session().chat(HELLO)) for _ in range(20)]
        await asyncio.sleep(0)
        await session.chat(HELLO)  # 10 under way on both
        assert session.replica is mine
        await asyncio.gather(*others)
        crowd = [model.session() for _ in range(60)]
        for one in crowd:
            one.replica = mine
        await asyncio.gather(*(one.chat(HELLO) for one in crowd))
        assert 15 <= sum(one.replica is not mine for one in crowd) <= 30

    simulate(main)


def test_sessions_with_one_key_begin_at_one_replica():
    async def main():
        servers = [Server() for _ in range(4)]
        model = replicas(*servers)
        await asyncio.gather(*(model.session("task-1").chat(HELLO) for _ in range(8)))
        assert sorted(server.sent for server in servers) == [0, 0, 0, 8]

    simulate(main)


@pytest.mark.parametrize("fault", ["refused", 500])
def test_a_dead_replica_is_left_out_and_comes_back(fault):
    async def main():
        servers = [Server(), Server()]
        model = replicas(*servers)
        servers[0].fault = fault
        jobs = iter(range(2000))

        async def work():
            for _ in jobs:
                await model.chat(HELLO)

        workers = [asyncio.create_task(work()) for _ in range(32)]
        await asyncio.sleep(5)
        assert "1 of 2 replicas is out: in-process-1: " in model.status()
        assert servers[0].sent < 32 + 10
        assert servers[1].under_way >= 31
        servers[0].fault = None
        await asyncio.sleep(16)
        assert model.status() == ""
        assert servers[0].under_way >= 12
        await asyncio.gather(*workers)

    simulate(main)


def test_what_failed_on_a_dead_replica_goes_to_another_at_once():
    async def main():
        servers = [Server(latency=0.5), Server(latency=0.5)]
        model = replicas(*servers)
        servers[0].fault = "refused"
        replies = await asyncio.gather(*(model.chat(HELLO) for _ in range(40)))
        assert max(reply.tries for reply in replies) == 2
        assert asyncio.get_running_loop().time() <= 1.1

    simulate(main)


def test_a_replica_that_is_down_at_the_start_is_left_out_with_a_warning(caplog):
    async def main():
        servers = [Server(), Server()]
        servers[0].fault = "refused"
        model = replicas(*servers, name=None)
        await model.connect()
        assert model.name == "m"
        assert "1 of 2 replicas is out: in-process-1: connection refused" in model.status()
        await asyncio.gather(*(model.chat(HELLO) for _ in range(10)))
        assert (servers[0].sent, servers[1].sent) == (0, 10)
        servers[0].fault = None
        await asyncio.sleep(2)
        await asyncio.gather(*(model.chat(HELLO) for _ in range(10)))
        assert servers[0].sent == 1  # the probe
        await asyncio.gather(*(model.chat(HELLO) for _ in range(10)))
        assert servers[0].sent > 3

    with caplog.at_level(logging.WARNING):
        simulate(main)
    assert "in-process-1: connection refused" in caplog.text


def test_a_replica_that_is_still_loading_is_waited_for_and_then_left_out():
    async def main():
        model = replicas(Busy(), Server())
        await model.connect()
        assert 30 <= asyncio.get_running_loop().time() < 32
        assert "1 of 2 replicas is out" in model.status()

    simulate(main)


def test_at_least_one_replica_must_answer():
    async def main():
        servers = [Server(), Server()]
        servers[0].fault = servers[1].fault = "refused"
        with pytest.raises(
            ConfigError, match="no model server at in-process-1: connection refused"
        ):
            await replicas(*servers).connect()

    simulate(main)


def test_replicas_must_agree_about_the_model():
    async def main():
        servers = [Server(), Server(models=b'{"data": [{"id": "other"}]}')]
        with pytest.raises(ConfigError) as found:
            await replicas(*servers, name=None).connect()
        assert "'m' at in-process-1 and 'other' at in-process-2" in found.value.message
        with pytest.raises(ConfigError, match="no model 'm' at in-process-2"):
            await replicas(*servers).connect()

    simulate(main)


def test_all_replicas_are_closed():
    class Closing(Server):
        closed = False

        async def close(self):
            self.closed = True

    servers = [Closing(reply=OK), Closing()]
    asyncio.run(replicas(*servers).close())
    assert all(server.closed for server in servers)
