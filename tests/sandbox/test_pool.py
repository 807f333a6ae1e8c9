"""Sandboxes that are ready before they are needed."""

import asyncio
import shutil
import time

import pytest

from athlos.errors import ConfigError, SandboxError
from athlos.sandbox import Limits, Pool, Sandbox
from tests.sandbox.abuse import running

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap here")


def test_checks_know_nothing_of_each_other():
    async def check():
        async with Pool(workers=1, spare=0) as pool:
            first = await pool.run(
                "import os; open('f', 'w'); open('/tmp/g', 'w'); os.environ['X'] = '1'; print(2)",
                files={"h": "x"},
                env={"Y": "1"},
            )
            second = await pool.run(
                "import os; print(os.listdir(), os.listdir('/tmp'), len(os.environ))"
            )
            third = await pool.exec("ls /work /tmp; echo $X$Y", stdin="x")
            return first, second, third, await pool.run("import os; print(len(os.environ))")

    first, second, third, fourth = asyncio.run(check())
    assert first.stdout == "2\n"
    assert second.stdout == f"[] [] {fourth.stdout}"
    assert third.stdout.split() == ["/tmp:", "/work:"]


def test_checks_at_once_are_as_many_as_workers():
    async def check():
        async with Pool(workers=3, spare=0) as pool:
            results = await asyncio.gather(*(pool.run(f"print({n})") for n in range(20)))
            return [result.stdout for result in results], len(pool._open)

    said, sandboxes = asyncio.run(check())
    assert said == [f"{n}\n" for n in range(20)]
    assert sandboxes == 3


def test_a_worker_that_dies_is_replaced_and_the_check_repeated():
    async def check():
        async with Pool(workers=1, spare=0) as pool:
            worker = pool._idle[0][0]
            task = asyncio.ensure_future(pool.run("import time; time.sleep(0.3); print('done')"))
            await asyncio.sleep(0.05)
            worker.kill("the test killed it")
            return (await task).stdout, pool._idle[0][0] is worker

    assert asyncio.run(check()) == ("done\n", False)


def test_a_cancelled_check_costs_its_worker_only():
    mark = f"pool-{time.time_ns()}"

    async def check():
        async with Pool(workers=1, spare=0) as pool:
            task = asyncio.ensure_future(pool.exec(f"sleep 60; : {mark}"))
            while not running(mark):
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return (await pool.run("print(1)")).stdout

    assert asyncio.run(check()) == "1\n"
    assert running(mark) == []


def test_a_lease_is_a_sandbox_of_ones_own():
    async def lease():
        async with Pool(workers=1, spare=2) as pool:
            async with pool.lease() as one, pool.lease() as two:
                await one.write("f", "x")
                assert [entry.name for entry in await one.list()] == ["f"]
                assert await two.list() == []
            assert (one.alive, two.alive) == (False, False)
            async with pool.lease() as three:
                return await three.list()

    assert asyncio.run(lease()) == []


def test_leases_wait_for_their_turn():
    async def lease():
        async with Pool(size=2, workers=1, spare=0) as pool:
            one, two, three = (pool.lease() for _ in range(3))
            await one.__aenter__()
            async with two:
                waiting = asyncio.ensure_future(three.__aenter__())
                await asyncio.sleep(0.3)
                assert not waiting.done()
                await one.__aexit__(None, None, None)
                third = await asyncio.wait_for(waiting, 30)
                said = (await third.run("print(1)")).stdout
            await three.__aexit__(None, None, None)
            return said

    assert asyncio.run(lease()) == "1\n"


def test_a_lease_that_is_over_is_closed_under_its_holder():
    mark = f"lease-{time.time_ns()}"

    async def lease():
        async with Pool(workers=1, spare=0) as pool, pool.lease(seconds=0.2) as sandbox:
            with pytest.raises(SandboxError, match=r"its lease of 0\.2 s is over"):
                await sandbox.exec(f"sleep 60; : {mark}")

    asyncio.run(lease())
    assert running(mark) == []


def test_a_closed_pool_closes_what_was_not_given_back():
    async def forget():
        async with Pool(workers=2, spare=1) as pool:
            lease = pool.lease()
            sandbox = await lease.__aenter__()
        with pytest.raises(SandboxError, match="gone"):
            await sandbox.run("1")
        return sandbox

    assert not asyncio.run(forget()).alive


def test_a_pool_without_private_programs_uses_a_sandbox_for_each():
    async def check():
        with pytest.warns(UserWarning, match="does not isolate"):
            pool = Pool("subprocess", workers=2, spare=0)
        async with pool:
            first = await pool.run("open('f', 'w'); print(1)")
            second = await pool.run("import os; print(os.listdir())")
            return first.stdout, second.stdout

    assert asyncio.run(check()) == ("1\n", "[]\n")


def test_sandboxes_that_do_not_start_are_an_error(monkeypatch):
    async def fail(*_):
        raise SandboxError("no")

    async def check():
        async with Pool(workers=1, spare=0) as pool:
            monkeypatch.setattr(Sandbox, "start", fail)
            pool._idle[0][0].kill("lost")
            with pytest.raises(SandboxError, match="no"):
                await pool.run("1")

    asyncio.run(check())


def test_the_provider_is_looked_for_at_once():
    with pytest.raises(ConfigError, match="no sandbox provider 'dockr'"):
        Pool("dockr", limits=Limits())
