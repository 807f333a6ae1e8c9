"""Text games of the library TextArena: `textarena:GuessTheNumber-v0`.

The policy is one player; in games of several, the model of the role `opponent` is all the others.
"""

from __future__ import annotations

import difflib
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from athlos import Config, ConfigError, EnvError, Environment, Message, Rollout, Task, reward

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the library's dependencies
    import textarena  # type: ignore[import-not-found,unused-ignore]
    from textarena.envs.registration import (  # type: ignore[import-not-found,unused-ignore]
        ENV_REGISTRY,
    )

__all__ = ["load"]

T = TypeVar("T")

_GAME = -1  # who speaks, in an observation


class GameConfig(Config):
    """Settings of a game.

    Attributes:
        size: Number of tasks; each is the game from another seed.
        players: How many play.
        seat: Which player the policy is, from 0.
    """

    size: int = 100
    players: int = 1
    seat: int = 0


def load(game: str) -> type[Environment]:
    """The environment of one game, by its name in the library.

    Raises:
        ConfigError: There is no such game.
    """
    if game not in ENV_REGISTRY:
        names = [name for name in ENV_REGISTRY if not name.endswith(("-raw", "-train"))]
        close = difflib.get_close_matches(game, names, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(close)}?" if close else "Its documentation lists them."
        raise ConfigError(f"TextArena has no game {game!r}", hint=hint)
    return type(
        "TextArena",
        (TextArena,),
        {
            "__doc__": f"The game {game} of TextArena.",
            "__module__": __name__,
            "name": f"textarena:{game}",
            "version": _version(),
            "game": game.removesuffix("-raw").removesuffix("-train"),
        },
    )


class TextArena(Environment):
    """One game: an assistant message is a move."""

    Config = GameConfig
    game: str

    @classmethod
    def tasks(cls, config: GameConfig, split: str) -> Iterator[Task]:
        """Games; those of different splits have different seeds."""
        if not 0 <= config.seat < config.players:
            raise ConfigError(f"{cls.name}: seat {config.seat} of {config.players} players")
        for index in range(config.size):
            seed = random.Random(f"{split}-{index}").getrandbits(31)
            yield Task(prompt=f"Play {cls.game}.", info={"seed": seed}, id=f"{split}-{index}")

    async def setup(self) -> None:
        """Sets the game up; the opening message is what the policy sees of it."""
        self._over = False
        self._others: list[list[Message]] = [[] for _ in range(self.config.players)]
        seed = self.task.info.get("seed", self.seed)
        self._random = random.Random(seed).getstate()
        self._game = self._calmly(lambda: textarena.make(f"{self.game}-raw"))
        try:
            self._calmly(lambda: self._game.reset(num_players=self.config.players, seed=seed))
        except AssertionError as error:
            raise ConfigError(
                f"{self.name} refuses {self.config.players} players: {error}",
                hint="--env.players N says how many play.",
            ) from error
        seen = await self._until_my_turn()
        if seen is None:
            raise EnvError(f"{self.name}: the game was over before the first move")
        self.task = Task(seen, info=self.task.info, id=self.task.id, sampling=self.task.sampling)

    async def reply(self, message: Message) -> str | None:
        """Makes the move; what the policy sees next, or None if the game is over."""
        self._move(message.text)
        return None if self._over else await self._until_my_turn()

    @reward
    def result(self, rollout: Rollout) -> float:
        """The library's reward of the policy's player; 0 for a game that was not played out."""
        if not self._over:
            return 0.0
        rewards, info = self._calmly(self._game.close)
        mine = info.get(self.config.seat, {}) if isinstance(info, dict) else {}
        rollout.extra["game"] = {key: value for key, value in mine.items() if _is_plain(value)}
        return float((rewards or {}).get(self.config.seat, 0.0))

    async def _until_my_turn(self) -> str | None:
        """Lets the others move; what the policy sees then, or None if the game is over."""
        while True:
            player, seen = self._look()
            if player == self.config.seat:
                return seen
            talk = self._others[player]
            talk.append(Message("user", seen))
            reply = await self.models["opponent"].chat(talk)
            talk.append(reply.message)
            self._move(reply.message.text)
            if self._over:
                return None

    def _move(self, text: str) -> None:
        self._over = self._calmly(lambda: self._game.step(text))[0] is True

    def _look(self) -> tuple[int, str]:
        """Whose turn it is, and what is new to that player but the own moves."""
        player, seen = self._calmly(self._game.get_observation)
        said = [
            text if speaker == _GAME else f"[Player {speaker}] {text}"
            for speaker, text, _ in seen
            if speaker != player
        ]
        return player, "\n".join(said).strip() or "Go on."

    def _calmly(self, run: Callable[[], T]) -> T:
        """Runs library code, which draws from the one generator of the process, on our own."""
        outside = random.getstate()
        random.setstate(self._random)
        try:
            return run()
        finally:
            self._random = random.getstate()
            random.setstate(outside)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def _version() -> str:
    from importlib.metadata import version

    return version("textarena")
