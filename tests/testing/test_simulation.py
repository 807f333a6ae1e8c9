import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from athlos.testing import SimulatedLoop, SimulationDeadlock, SimulationError, simulate
from athlos.testing.simulation import arrive

DAY = 86_400.0


def now():
    return asyncio.get_running_loop().time()


# -- time ------------------------------------------------------------------------------------------


def test_an_hour_of_waiting_costs_nothing():
    async def main():
        await asyncio.sleep(3600)
        return now()

    assert simulate(main) == 3600


def test_a_coroutine_works_as_well_as_its_function():
    async def main(value):
        await asyncio.sleep(1)
        return value

    assert simulate(main(3)) == 3


def test_time_stands_still_while_there_is_something_to_do():
    async def main():
        for _ in range(500):
            await asyncio.sleep(0)
        return now()

    assert simulate(main) == 0


def test_time_goes_on_for_one_who_polls():
    async def main():
        woken = asyncio.create_task(asyncio.sleep(5))
        while not woken.done():
            await asyncio.sleep(0)
        return now()

    assert simulate(main) == 5


@pytest.mark.parametrize("seed", range(20))
def test_timers_fire_in_the_order_of_their_times_and_never_early(seed):
    fired = []

    async def main():
        loop = asyncio.get_running_loop()
        for step in range(200):
            when = (step * 7919 % 200) / 3000
            loop.call_at(when, lambda when=when: fired.append((when, loop.time())))
        await asyncio.sleep(1)

    simulate(main, seed=seed)
    times = [when for when, _ in fired]
    assert times == sorted(times)
    assert len(times) == 200
    assert all(when <= at <= when + 0.001 for when, at in fired)


def test_a_cancelled_timer_does_not_fire_and_does_not_move_the_clock():
    fired = []

    async def main():
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(1 + i, fired.append, i) for i in range(1000)]
        for timer in timers[1:]:
            timer.cancel()
        await asyncio.sleep(2000)
        return loop.time()

    assert simulate(main) == 2000
    assert fired == [0]


def test_limits_end_what_takes_too_long():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
        return now()

    assert simulate(main) == 10


# -- order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_what_is_called_soon_is_called_in_its_order(seed):
    called = []

    async def main():
        loop = asyncio.get_running_loop()
        for index in range(100):
            loop.call_soon(called.append, index)
        await asyncio.sleep(0)

    simulate(main, seed=seed)
    assert called == list(range(100))


def order(seed, wait):
    """In which order eight tasks come back from the same wait."""
    seen = []

    async def one(index):
        await wait()
        seen.append(index)

    async def main():
        await asyncio.gather(*(one(index) for index in range(8)))

    simulate(main, seed=seed)
    return tuple(seen)


@pytest.mark.parametrize(
    "wait",
    [lambda: asyncio.sleep(1), arrive, lambda: arrive(2), lambda: asyncio.to_thread(int)],
    ids=["timers", "arrivals", "later arrivals", "threads"],
)
def test_the_seed_decides_what_comes_first_of_what_comes_together(wait):
    orders = {seed: order(seed, wait) for seed in range(20)}
    assert len(set(orders.values())) > 15
    assert all(order(seed, wait) == orders[seed] for seed in orders)


@pytest.mark.parametrize("ahead", [-0.0002, 0.0, 0.0002])
def test_a_reply_and_a_timer_of_about_the_same_time_meet_in_either_order(ahead):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        future = loop.create_future()
        loop.arrival(1 + ahead, future)
        loop.call_later(1, lambda: seen.append("reply first" if future.done() else "timer first"))
        await future
        await asyncio.sleep(1)
        return seen[0]

    orders = [simulate(main, seed=seed) for seed in range(60)]
    assert set(orders) == {"reply first", "timer first"}


def test_sets_of_tasks_have_one_order():
    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(1)) for _ in range(50)]
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in done]

    assert simulate(main) == simulate(main)


# -- the same seed, the same run -------------------------------------------------------------------

PROGRAM = """\
import asyncio
from athlos.testing import simulate
from athlos.testing.simulation import arrive

async def one(index, queue):
    for step in range(5):
        await arrive(index % 3 / 10)
        await queue.put((index, step))
        await asyncio.sleep(0.0003 * step)

async def main():
    queue = asyncio.Queue(4)
    tasks = [asyncio.create_task(one(index, queue)) for index in range(20)]
    seen = [await queue.get() for _ in range(100)]
    await asyncio.wait(tasks)
    return seen, asyncio.get_running_loop().trace
"""


def test_two_runs_of_a_seed_are_the_same_and_two_seeds_differ():
    space = {}
    exec(PROGRAM, space)
    runs = [simulate(space["main"], seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]
    assert runs[0][1] != runs[2][1]


def test_a_run_is_the_same_in_every_process():
    program = PROGRAM + "\nprint(*(simulate(main, seed=seed) for seed in range(3)))\n"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "77")
    }
    assert len(printed) == 1
    assert len(printed.pop()) > 1000


# -- what cannot go on -----------------------------------------------------------------------------


def test_a_deadlock_is_an_error_that_names_the_tasks():
    ended = []

    async def wait_for_ever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def main():
        first = asyncio.create_task(wait_for_ever(), name="first")
        second = asyncio.create_task(wait_for_ever(), name="second")
        await asyncio.sleep(7)
        await asyncio.wait([first, second])

    with pytest.raises(SimulationDeadlock) as caught:
        simulate(main, seed=3)
    text = str(caught.value)
    assert "at 7 s" in text
    assert "seed 3" in text
    assert "Pending tasks: 3" in text
    assert "first: test_a_deadlock" in text
    assert "wait_for_ever at locks.py:" in text
    assert ended == [1, 1]  # they were cancelled, and cleaned up


def test_tasks_that_refuse_to_end_do_not_hang_the_test():
    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    with pytest.raises(SimulationDeadlock, match="stubborn"):
        simulate(stubborn)


def test_a_simulation_without_end_is_an_error():
    async def main():
        while True:
            await asyncio.sleep(DAY)

    with pytest.raises(SimulationDeadlock, match="not reached in 30 days"):
        simulate(main)


def timer():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0, future.set_result, None)
    return future


@pytest.mark.parametrize("wait", [lambda: asyncio.sleep(0), timer], ids=["call_soon", "timers"])
def test_a_loop_that_never_waits_is_an_error(wait, monkeypatch):
    monkeypatch.setattr("athlos.testing.simulation._ENDLESS", 5_000)

    async def main():
        while True:
            await wait()

    with pytest.raises(SimulationDeadlock, match="without end, and no time passes"):
        simulate(main)


def test_much_that_takes_no_time_is_not_taken_for_it(monkeypatch):
    monkeypatch.setattr("athlos.testing.simulation._ENDLESS", 5_000)

    async def main():
        for _ in range(6_000):
            await arrive()
        return now()

    assert 0 < simulate(main) < 0.1


def test_an_error_of_the_simulated_code_is_the_callers():
    async def main():
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        simulate(main)


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        ("network", lambda: asyncio.open_connection("localhost", 1)),
        ("network", lambda: asyncio.get_running_loop().getaddrinfo("localhost", 1)),
        ("subprocesses", lambda: asyncio.create_subprocess_exec("true")),
        ("subprocesses", lambda: asyncio.create_subprocess_shell("true")),
    ],
)
def test_the_outside_is_not_there(expected, what):
    async def main():
        await what()

    with pytest.raises(SimulationError, match=expected):
        simulate(main)


def test_signals_are_not_there():
    async def main():
        asyncio.get_running_loop().add_signal_handler(2, print)

    with pytest.raises(SimulationError, match="signals"):
        simulate(main)


def test_another_thread_is_refused():
    async def main():
        loop = asyncio.get_running_loop()
        raised = []

        def call():
            try:
                loop.call_soon_threadsafe(print)
            except SimulationError as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return raised

    assert len(simulate(main)) == 1


def test_it_does_not_run_within_a_running_loop():
    async def inner():
        return 1

    async def main():
        coroutine = inner()
        with pytest.raises(SimulationError, match="loop of its own"):
            simulate(coroutine)
        return await coroutine

    assert asyncio.run(main()) == 1


# -- what works as ever ----------------------------------------------------------------------------


def test_functions_of_other_threads_run_in_this_one():
    async def main():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        return await asyncio.to_thread(threading.get_ident)

    assert simulate(main) == threading.get_ident()


def test_queues_locks_groups_and_generators_work():
    closed = []

    async def count():
        try:
            for index in range(10):
                yield index
        finally:
            await asyncio.sleep(1)
            closed.append(1)

    async def main():
        queue, lock = asyncio.Queue(1), asyncio.Lock()

        async def put():
            async with lock:
                async for item in count():
                    await queue.put(item)

        async with asyncio.TaskGroup() as group:
            group.create_task(put())
            seen = [await queue.get() for _ in range(10)]
        async for _ in count():
            break
        await asyncio.sleep(2)
        return seen

    assert simulate(main) == list(range(10))
    assert closed == [1, 1]


def test_the_loop_says_what_it_is():
    async def main():
        loop = asyncio.get_running_loop()
        return isinstance(loop, SimulatedLoop) and loop.seed

    assert simulate(main, seed=5) == 5


def test_arriving_works_in_real_time():
    async def main():
        await arrive()
        await arrive(0.001)
        return "here"

    assert asyncio.run(main()) == "here"


def test_the_example_of_the_documentation():
    example = simulate.__doc__.partition("\n\n")[2].partition("Nothing is patched")[0]
    assert "assert simulate(main, seed=7) == 3600" in example
    names = {"asyncio": asyncio, "simulate": simulate}
    exec(textwrap.dedent(example), names)
    assert simulate(names["main"], seed=8) == 3600
