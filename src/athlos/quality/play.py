"""Plays scripts through real attempts: setup, agent, tools, scoring and teardown as in a run."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from athlos.agents import Agent, ToolLoop
from athlos.agents.base import Opened
from athlos.engine.attempt import Attempts, Job, guard, teardown
from athlos.engine.pool import ProcessPool
from athlos.engine.scoring import add_components, score_group
from athlos.environment import Environment
from athlos.errors import AthlosError, ConfigError, EnvError
from athlos.models.client import Model
from athlos.quality.watch import marked
from athlos.testing import fake_model
from athlos.types import Failure, Message, Rollout, Task

if TYPE_CHECKING:
    from athlos.sandbox import Sandboxes

__all__ = ["Played", "Player", "Policy", "Script", "oracle_script", "quoting_judge", "turns_script"]

Policy = Callable[[list[Message]], "str | Message"]
Script = Callable[[Environment], Awaitable[Policy | None]]
_DEADLINE = 120.0
_HANGS = 2  # attempts that had to be stopped, after which no further ones are made
_OWN = frozenset({"task", "config", "shared", "models", "sandbox", "seed", "_rng"})


class Played(Struct):
    """What came of one attempt.

    Attributes:
        rollout: The scored rollout; None if the attempt failed or there was nothing to play.
        failure: Why it failed.
        opening: The messages that the model was shown first.
        changed: Whether the attempt's state changed; None if it cannot be compared.
        hung: Whether it had to be stopped.
    """

    rollout: Rollout | None = None
    failure: Failure | None = None
    opening: list[Message] = []
    changed: bool | None = None
    hung: bool = False

    @property
    def reward(self) -> float | None:
        """What it earned; None if nothing was scored."""
        return None if self.rollout is None else self.rollout.reward

    @property
    def late(self) -> bool:
        """Whether scoring ran out of time: on a machine that is busy it may, and next time not."""
        return self.rollout is not None and bool(self.rollout.extra.get("timed_out"))

    @property
    def said(self) -> list[Message]:
        """The assistant messages."""
        return [m for m in self.later if m.role == "assistant"]

    @property
    def later(self) -> list[Message]:
        """All messages after the opening."""
        return [] if self.rollout is None else self.rollout.messages[len(self.opening) :]


class Player:
    """Plays scripts on tasks of one environment.

    Attributes:
        count: Attempts that were made.
        hangs: Task and input of those that had to be stopped.
    """

    def __init__(
        self,
        env: type[Environment],
        config: Any,
        shared: Any,
        models: Mapping[str, Model],
        pool: ProcessPool | None,
        sandboxes: Sandboxes | None = None,
    ) -> None:
        self.env = env
        self.count = 0
        self.hangs: list[tuple[str, str]] = []
        self._agents: dict[int, Agent] = {}
        self._attempts = Attempts(
            env=env, config=config, shared=shared, models=models, model=fake_model(lambda _: ""),
            agent=ToolLoop(), sampling={}, seed=0, deadline=_DEADLINE, pool=pool,
            sandboxes=sandboxes,
        )  # fmt: skip

    async def play(
        self, task: Task, script: Script, max_turns: int, beside: Rollout | None = None
    ) -> Played:
        """Makes one attempt.

        Args:
            task: At what.
            script: Who plays the model.
            max_turns: Assistant messages after which the attempt is cut off.
            beside: A rollout that is in its group, for group rewards.
        """
        if self.stopped:
            return Played()
        actor = _Actor(script, self._agent(max_turns))
        self.count += 1
        with marked() as mark:
            outcome = await dataclasses.replace(self._attempts, agent=actor).run(Job(task, 0, 0))
        played = Played(opening=actor.opening, changed=actor.changed)
        if mark.hung:
            played.hung = True
            said = [message.text for message in outcome.messages if message.role == "assistant"]
            self.hangs.append((task.id, "\n".join(said)))
            return played
        if isinstance(outcome, Failure):
            played.failure = outcome
        elif actor.played:
            played.rollout = outcome
            await self._score_group(task, played, beside)
        return played

    @property
    def stopped(self) -> bool:
        """Whether no further attempts are made, as too many had to be stopped."""
        return len(self.hangs) >= _HANGS

    async def instance(self, task: Task) -> Environment:
        """An instance after `setup`; give it back with `leave`."""
        env = self._attempts.create(task)
        await guard("setup", env.setup)
        return env

    async def leave(self, env: Environment) -> None:
        """Takes an instance down."""
        try:
            await teardown(env)
        finally:
            self._attempts.end(env)

    def _agent(self, max_turns: int) -> Agent:
        if max_turns not in self._agents:
            agent = self.env.own_agent(ToolLoop(max_turns=max_turns))
            if isinstance(agent, Opened):
                raise ConfigError(
                    f"{self.env.name} has an agent of its own, which needs a server",
                    hint="Its verifier cannot be checked from here.",
                )
            self._agents[max_turns] = agent
        return self._agents[max_turns]

    async def _score_group(self, task: Task, played: Played, beside: Rollout | None) -> None:
        rollout = played.rollout
        if rollout is None or all(s.kind != "group_reward" for s in self.env.scorers):
            return
        group = [rollout] if beside is None else [rollout, beside]
        env = self._attempts.create(task)
        try:
            components = await score_group(env, group)
            add_components(env, rollout, components[0])
        except AthlosError as error:
            played.rollout = None
            played.failure = Failure(
                rollout.id, task.id, 0, 0, error.failure_class, error.message,
                messages=rollout.messages,
            )  # fmt: skip
        finally:
            self._attempts.end(env)


class _Actor:
    """An agent that lets a script play the model of the real one."""

    def __init__(self, script: Script, agent: Agent) -> None:
        self._script = script
        self._agent = agent
        self.opening: list[Message] = []
        self.changed: bool | None = None
        self.played = False

    async def run(
        self, env: Environment, model: Any, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        self.opening = list(rollout.messages)
        policy = await self._script(env)
        if policy is None:
            return
        self.played = True
        before = state_of(env)
        await self._agent.run(env, fake_model(policy, keep_requests=False), rollout, sampling)
        after = state_of(env)
        self.changed = None if before is None or after is None else before != after

    def settings(self) -> dict[str, Any]:
        return {"name": "quality_gate"}


def state_of(env: Environment) -> bytes | None:
    """The attempt's own state, to be compared; None if it cannot be."""
    state = {name: value for name, value in vars(env).items() if name not in _OWN}
    return frozen(state)


def frozen(value: Any) -> bytes | None:
    """A value as bytes that are equal when it is; None if there are none."""
    file = io.BytesIO()
    try:
        pickler = pickle.Pickler(file)
        pickler.fast = True  # else equal values differ by which of their parts are one object
        pickler.dump(value)
    except Exception:  # noqa: BLE001 - what authors keep may raise anything
        return None
    return file.getvalue()


def turns_script(turns: Sequence[str | Message]) -> Script:
    """Says the same in every attempt, one a turn; the last one repeats."""

    async def script(env: Environment) -> Policy:
        return _one_a_turn(iter(turns))

    return script


def _one_a_turn(turns: Iterator[str | Message]) -> Policy:
    last: str | Message = ""

    def policy(messages: list[Message]) -> str | Message:
        nonlocal last
        last = next(turns, last)
        return last

    return policy


async def oracle_script(env: Environment) -> Policy | None:
    """Does what the environment's `oracle` says."""
    made = await guard("oracle", env.oracle)
    if made is None:
        return None
    if isinstance(made, str | Message):
        return _one_a_turn(iter([made]))
    if callable(made):
        policy: Policy = made
        return policy
    if isinstance(made, Iterable):
        return _one_a_turn(iter(made))
    raise EnvError(
        f"oracle() returned {type(made).__name__}; it must return text, a Message, several of "
        "them, a function of the messages, or None"
    )


def quoting_judge(answers: Sequence[str]) -> Model:
    """Plays a judge that quotes what it was asked about and decides nothing.

    Args:
        answers: What may be quoted: filled while attacks are made.
    """

    def policy(messages: list[Message]) -> str:
        asked = "\n".join(message.text for message in messages)
        quoted = max((a for a in answers if a.strip() and a in asked), key=len, default="")
        return f'The response reads: "{quoted}". I have not decided yet.'

    return fake_model(policy, name="quoting-judge", keep_requests=False)
