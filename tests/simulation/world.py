"""A simulated world: an environment and a server that fail at random, and books of what they did.

The books are kept where things happen, in the environment's own methods; they know nothing of the
engine, except how it derives the seed by which an instance is told from the others.
"""

import asyncio
import random
from dataclasses import dataclass, field

from athlos import (
    Deadlines,
    Environment,
    Model,
    Retry,
    Task,
    ToolLoop,
    group_reward,
    metric,
    reward,
    tool,
)
from athlos.engine.attempt import derive_seed
from athlos.testing import FakeTransport, Faults, call, completions
from athlos.types import FunctionCall, Message, ToolCall

DEADLINE = 200.0  # of an attempt
TURNS = 6

# Where an environment's own code goes wrong, and how.
PLACES = {
    "init": ["raise", "exit"],
    "setup": ["raise", "hang", "late", "cancel", "swallow", "timeout"],
    "tool": ["raise", "hang", "late", "cancel", "swallow", "timeout", "exit"],
    "reply": ["raise", "hang", "late", "cancel", "swallow", "exit"],
    "value": ["raise", "hang", "late", "nan", "text", "swallow", "timeout"],
    "bonus": ["raise", "nan", "infinite", "none", "exit"],
    "length": ["raise", "nan"],
    "teardown": ["raise", "hang", "late"],
}
UNUSABLE = {"nan": float("nan"), "text": "1.0", "infinite": float("inf"), "none": None}


@dataclass(eq=False)
class Note:
    """What one instance of the environment did."""

    key: tuple[str, int] | None  # None for an instance that compares a group
    place: str = ""
    kind: str = ""
    rewards: dict[str, float] = field(default_factory=dict)
    scored: bool = False  # all rewards and metrics were computed
    torn: int = 0  # teardowns begun
    clean: bool = False  # scored and torn down
    swallowed: bool = False  # it kept a cancellation to itself


class World:
    """One seed's environment, server and books.

    Attributes:
        notes: Of every instance, by (task, sample), in the order of their making.
        live: Attempts under way, as the environment sees them; `peak` is the most there were.
        compared: For each comparison of a group: the task, the samples, whether it went wrong.
    """

    def __init__(self, seed, *, tasks, samples, groups=False, trouble=0.25, latency=None):
        self.rng = random.Random(seed)
        self.seed = seed
        self.tasks = [f"t{index}" for index in range(tasks)]
        self.samples = samples
        self.trouble = trouble
        self.notes = {(task, sample): [] for task in self.tasks for sample in range(samples)}
        self.compared = []
        self.live = self.peak = self.begun = 0
        self.latency = latency or (lambda rng: rng.expovariate(1.0))
        self.groups = groups
        self.env = type("Chaos", (Compared if groups else Chaos,), {"world": self})
        self._keys = {derive_seed(seed, *key): key for key in self.notes}
        self.transports = []

    def model(self, faults=(), **options):
        """A new model with a new server for each of the faults, all for one simulation."""
        handler = completions(self.answer)
        self.transports = [
            FakeTransport(
                handler, latency=self.latency, faults=fault, keep_requests=False,
                seed=self.rng.getrandbits(32),
            )
            for fault in faults or [None]
        ]  # fmt: skip
        return Model(
            name="fake", transport=self.transports, rng=random.Random(self.rng.getrandbits(32)),
            deadlines=Deadlines(first_byte=20.0, total=120.0), retry=Retry(max_tries=5),
            **options,
        )  # fmt: skip

    @property
    def sent(self):
        """Requests that came to any server."""
        return sum(transport.sent for transport in self.transports)

    def options(self):
        """Arguments of `collect` that belong to the world."""
        return {
            "samples": self.samples, "seed": self.seed, "deadline": DEADLINE,
            "agent": ToolLoop(max_turns=TURNS),
        }  # fmt: skip

    def answer(self, messages):
        """The policy: one to four tool calls, or an answer."""
        rng = self.rng
        if rng.random() < 0.5:
            return "An answer."
        if rng.random() < 0.6:
            return call("look", n=1)
        calls = [
            ToolCall(f"c{index}", FunctionCall(rng.choice(("look", "wait", "none")), '{"n":1}'))
            for index in range(rng.randint(1, 4))
        ]
        return Message("assistant", tool_calls=calls)

    def create(self, seed):
        """An instance is made; what will go wrong in it is decided now."""
        key = self._keys.get(seed)
        note = Note(key)
        if key is None:
            return note
        self.begun += 1
        self.notes[key].append(note)
        rng = self.rng
        if rng.random() < self.trouble:
            note.place = rng.choice(list(PLACES))
            note.kind = rng.choice(PLACES[note.place])
        self.fail(note, "init")
        self.live += 1
        self.peak = max(self.peak, self.live)
        return note

    def fail(self, note, place):
        """What goes wrong without waiting."""
        if note.place != place:
            return
        if note.kind == "raise":
            raise RuntimeError(f"trouble in {place}")
        if note.kind == "exit":
            raise SystemExit(3)
        if note.kind == "timeout":
            raise TimeoutError("somebody else's")
        if note.kind == "cancel":
            raise asyncio.CancelledError

    async def step(self, note, place):
        """What goes wrong, or takes time, in one of the environment's methods."""
        rng = self.rng
        if note.place != place:
            if rng.random() < 0.2:
                await asyncio.sleep(rng.expovariate(2.0))
            return
        self.fail(note, place)
        if note.kind == "hang":
            await asyncio.get_running_loop().create_future()
        elif note.kind == "late":
            await asyncio.sleep(rng.uniform(0, 1.5 * DEADLINE))
        elif note.kind == "swallow":
            try:
                await asyncio.sleep(rng.uniform(0, 1.5 * DEADLINE))
            except asyncio.CancelledError:
                note.swallowed = True


class Chaos(Environment):
    """Goes wrong in every method that it has."""

    world = None

    @classmethod
    def tasks(cls, config, split):
        for name in cls.world.tasks:
            yield Task("Begin.", id=name)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.note = self.world.create(self.seed)

    async def setup(self):
        await self.world.step(self.note, "setup")

    @tool
    async def look(self, n: int) -> int:
        """Looks."""
        await self.world.step(self.note, "tool")
        return n

    @tool(timeout=7.0)
    async def wait(self, n: int) -> int:
        """Looks for a while."""
        await self.world.step(self.note, "tool")
        return n

    async def reply(self, message):
        await self.world.step(self.note, "reply")
        return "Go on." if self.world.rng.random() < 0.2 else None

    @reward(timeout=40.0)
    async def value(self, rollout):
        await self.world.step(self.note, "value")
        return self._computed("value", self.world.rng.choice((0.0, 0.25, 1.0)))

    @reward(weight=0.5)
    def bonus(self, rollout):
        self.world.fail(self.note, "bonus")
        return self._computed("bonus", self.world.rng.random())

    @metric
    def length(self, rollout):
        self.world.fail(self.note, "length")
        if self.note.place == "length":
            return UNUSABLE[self.note.kind]
        self.note.scored = True
        return len(rollout.messages)

    async def teardown(self):
        note = self.note
        note.torn += 1
        self.world.live -= 1
        await self.world.step(note, "teardown")
        note.clean = note.scored

    def _computed(self, name, value):
        if self.note.place == name and self.note.kind in UNUSABLE:
            return UNUSABLE[self.note.kind]
        self.note.rewards[name] = value
        return value


class Compared(Chaos):
    """The same, and the attempts of a task are compared."""

    @group_reward(weight=2.0, timeout=30.0)
    async def relative(self, rollouts):
        world = self.world
        samples = [rollout.sample for rollout in rollouts]
        entry = {"task": self.task.id, "samples": samples, "failed": True}
        world.compared.append(entry)
        if world.rng.random() < world.trouble / 3:
            kind = world.rng.choice(("raise", "nan", "short", "hang"))
            if kind == "raise":
                raise RuntimeError("trouble in relative")
            if kind == "hang":
                await asyncio.get_running_loop().create_future()
            return (
                [0.0] * (len(rollouts) - 1) if kind == "short" else [float("nan")] * len(rollouts)
            )
        if world.rng.random() < 0.3:
            await asyncio.sleep(world.rng.expovariate(1.0))
        entry["failed"] = False
        mean = sum(rollout.rewards["value"] for rollout in rollouts) / len(rollouts)
        return [rollout.rewards["value"] - mean for rollout in rollouts]


def faults(rng):
    """A server of some quality: from a good one to one that fails a third of all requests."""
    share = rng.choice((0.0, 0.05, 0.15, 0.35)) / 7
    start = rng.uniform(20, 60)  # not while the model is looked for
    return Faults(
        refused=share, reset=share, http_500=share, http_503=share, http_429=share, garbled=share,
        abort=share, hang=rng.choice((0, 0.01)), slow=rng.choice((0, 0.01)), length=0.02,
        outages=[(start, start + 20.0)] if rng.random() < 0.2 else [], delay=15.0,
    )  # fmt: skip
