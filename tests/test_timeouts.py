import asyncio
import functools

import pytest

from athlos.timeouts import time_limit


def on_a_loop(test):
    @functools.wraps(test)
    def run():
        asyncio.run(test())

    return run


@on_a_loop
async def test_what_ends_in_time_is_left_alone():
    with time_limit(5) as limit:
        await asyncio.sleep(0)
    assert not limit.expired
    await asyncio.sleep(0)


@on_a_loop
async def test_what_does_not_is_a_timeout():
    with pytest.raises(TimeoutError), time_limit(0.01) as limit:
        await asyncio.sleep(30)
    assert limit.expired
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


@on_a_loop
async def test_none_is_no_limit():
    with time_limit(None) as limit:
        await asyncio.sleep(0.1)
    assert not limit.expired


@on_a_loop
async def test_the_inner_of_two_limits_does_not_end_the_outer():
    with time_limit(30) as outer:
        with pytest.raises(TimeoutError), time_limit(0.01):
            await asyncio.sleep(30)
        await asyncio.sleep(0)
    assert not outer.expired


@on_a_loop
async def test_the_outer_limit_passes_through_the_inner():
    with pytest.raises(TimeoutError), time_limit(0.01) as outer, time_limit(30) as inner:
        await asyncio.sleep(30)
    assert outer.expired
    assert not inner.expired


@on_a_loop
async def test_a_cancellation_from_outside_stays_one():
    async def work():
        with time_limit(30):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@on_a_loop
async def test_a_cancellation_that_comes_with_the_limit_wins():
    async def work():
        with time_limit(0.01):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                asyncio.current_task().cancel()
                raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


@on_a_loop
async def test_another_error_than_the_cancellation_passes():
    with pytest.raises(ValueError, match="mine"), time_limit(0.01):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise ValueError("mine") from None


@on_a_loop
async def test_many_limits_end_each_in_its_time():
    async def work(seconds: float) -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError), time_limit(seconds):
            await asyncio.sleep(30)
        return asyncio.get_running_loop().time() - began

    asked = [0.05 * (n % 7) for n in range(50)]
    took = await asyncio.gather(*map(work, asked))
    assert all(waited >= seconds for waited, seconds in zip(took, asked, strict=True))


@on_a_loop
async def test_a_clock_that_is_held_does_not_run():
    with time_limit(0.05) as limit:
        limit.hold()
        await asyncio.sleep(0.3)
        limit.go_on()
        await asyncio.sleep(0)
    assert not limit.expired
    with pytest.raises(TimeoutError), time_limit(0.05) as limit:
        limit.hold()
        limit.hold()
        limit.go_on()
        limit.go_on()
        await asyncio.sleep(30)
