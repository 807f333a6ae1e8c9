"""How a run is made and disturbed, all of it from a seed."""

import asyncio
import contextlib
import os
import random

from tests.simulation.world import DEADLINE, World, faults

from athlos import collect


class Scenario:
    """A world and the run in it.

    Args:
        seed: Of everything.
        attempts: How many samples are offered, about.
        fixed: What is not to be drawn.
    """

    def __init__(self, seed, attempts, **fixed):
        rng = self.rng = random.Random(seed)
        self.concurrency = rng.choice((1, 3, 16, 64, 256, 1000))
        self.disturbance = rng.choice(("", "pause", "stop", "drop"))
        self.tries = rng.choice((1, 1, 2, 3))
        self.slow_caller = rng.random() < 0.2
        self.samples = rng.choice((1, 2, 4, 8))
        self.groups = rng.random() < 0.3
        self.trouble = rng.choice((0.0, 0.1, 0.3))
        self.faults = [faults(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        for name, value in fixed.items():
            assert hasattr(self, name)
            setattr(self, name, value)
        self.world = World(
            seed, tasks=max(attempts // self.samples, 1), samples=self.samples, groups=self.groups,
            trouble=self.trouble,
        )  # fmt: skip

    def calm(self):
        """From now on nothing goes wrong."""
        self.disturbance, self.faults, self.world.trouble = "", [], 0.0

    async def run(self, **options):
        """Runs a collection; returns it, its rollouts and the hash of everything that happened."""
        collection = collect(
            self.world.env, self.world.model(self.faults), concurrency=self._limit(),
            attempts=self.tries, **self.world.options(), **options,
        )  # fmt: skip
        disturber = asyncio.create_task(self._disturb(collection))
        rollouts = []
        async for rollout in collection:
            rollouts.append(rollout)
            if self.slow_caller and self.rng.random() < 0.1:
                await asyncio.sleep(self.rng.expovariate(0.2))
        disturber.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await disturber
        return collection, rollouts, asyncio.get_running_loop().trace

    def _limit(self):
        return self.concurrency

    async def _disturb(self, collection):
        """Stops, drops or pauses the collection at some moment."""
        if not self.disturbance:
            return
        share = self.rng.random()
        while collection.offered is None or collection.done < share * collection.offered:
            await asyncio.sleep(self.rng.expovariate(1.0))
        if self.disturbance == "pause":
            return await self._pause(collection)
        getattr(collection, self.disturbance)()
        begun = self.world.begun
        while not self.groups:  # an open group is completed after stop()
            await asyncio.sleep(1.0)
            assert self.world.begun == begun, f"an attempt began after {self.disturbance}()"

    async def _pause(self, collection):
        """Pauses it three times, for longer than an attempt may take."""
        for version in range(3):
            await collection.pause(cancel=self.rng.random() < 0.5)
            try:
                sent = self.world.sent
                await asyncio.sleep(self.rng.uniform(0, 2 * DEADLINE))
                assert self.world.sent == sent, "a request was sent during a pause"
            finally:
                collection.resume(version)
            await asyncio.sleep(self.rng.expovariate(0.1))


@contextlib.contextmanager
def reproducible(seed):
    """Says of a failing seed how to run it alone."""
    try:
        yield
    except Exception as error:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        error.add_note(f"seed {seed}; again: ATHLOS_SEEDS={seed} bash scripts/test '{test}'")
        raise
