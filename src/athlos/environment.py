"""What an author writes: an `Environment` class with tasks, tools, state and rewards.

One instance is one attempt at one task, so state lives on `self`. Methods may be sync or async.
"""

from __future__ import annotations

import dataclasses
import inspect
import random
import typing
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar, overload

import msgspec

from athlos.errors import ConfigError
from athlos.tools import Tool, find_tools
from athlos.types import Message, Task

__all__ = ["Config", "Environment", "Reply", "Scorer", "group_reward", "metric", "reward"]

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__athlos_scorer__"
Kind = Literal["reward", "metric", "group_reward"]
Reply: TypeAlias = str | Message | list[Message] | None


class Scorer(NamedTuple):
    """A method that scores: what kind, what it is called, how much it counts, where it runs."""

    name: str
    kind: Kind
    weight: float = 1.0
    process: bool = False
    timeout: float | None = None
    on_timeout: float | None = None


@overload
def reward(function: F, /) -> F: ...
@overload
def reward(
    *,
    weight: float = 1.0,
    process: bool = False,
    timeout: float | None = None,
    on_timeout: float | None = None,
) -> Callable[[F], F]: ...
def reward(
    function: F | None = None,
    /,
    *,
    weight: float = 1.0,
    process: bool = False,
    timeout: float | None = None,
    on_timeout: float | None = None,
) -> F | Callable[[F], F]:
    """Makes a method `(self, rollout) -> float` a component of the reward.

    Args:
        function: The method, when used without parentheses.
        weight: Its factor in the rollout's reward, which is the weighted sum.
        process: Run it in a pool of worker processes: for CPU-heavy, sync verifiers. It gets a copy
            of the instance without `shared` and `models`; what it sets on it is not kept, except
            `rollout.extra`.
        timeout: Seconds. In a worker it is a hard limit (30 by default); inline it stops a
            coroutine only.
        on_timeout: The value if that limit is hit, for verifiers that an answer can keep busy for
            ever. By default the attempt is a verifier failure.
    """
    return _marker(Scorer("", "reward", weight, process, timeout, on_timeout), function)


@overload
def metric(function: F, /) -> F: ...
@overload
def metric(*, timeout: float | None = None) -> Callable[[F], F]: ...
def metric(function: F | None = None, /, *, timeout: float | None = None) -> F | Callable[[F], F]:
    """Makes a method `(self, rollout) -> float | None` a recorded, unrewarded measurement.

    None means that it does not apply to this rollout.
    """
    return _marker(Scorer("", "metric", 0.0, timeout=timeout), function)


@overload
def group_reward(function: F, /) -> F: ...
@overload
def group_reward(*, weight: float = 1.0, timeout: float | None = None) -> Callable[[F], F]: ...
def group_reward(
    function: F | None = None, /, *, weight: float = 1.0, timeout: float | None = None
) -> F | Callable[[F], F]:
    """Makes a method `(self, rollouts) -> list[float]` a component computed over a task's group.

    It sees every valid rollout of the task and returns one value for each, in the same order. It
    runs on an instance of its own, with the task but without the state of any attempt.
    """
    return _marker(Scorer("", "group_reward", weight, timeout=timeout), function)


def _marker(scorer: Scorer, function: F | None) -> F | Callable[[F], F]:
    def mark(function: F) -> F:
        setattr(function, _MARK, scorer._replace(name=function.__name__))
        return function

    return mark if function is None else mark(function)


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of an environment's typed settings. An empty one has none."""


class Environment:
    """Tasks, tools, state and rewards. Subclass it; only `tasks` and one reward are needed.

    Attributes:
        task: The task of this attempt.
        config: The environment's settings, an instance of its `Config`.
        shared: What `shared()` yielded: the same object in every attempt.
        models: Further models by role (`self.models["judge"]`).
        seed: Derived from the run's seed, the task and the sample: the same on every machine.
        done: Set it to True, in a tool for example, to end the attempt after this turn.
    """

    Config: ClassVar[type] = Config
    name: ClassVar[str] = ""
    version: ClassVar[str] = ""
    parallel_tools: ClassVar[bool] = True
    """Whether tool calls of one turn run concurrently."""
    pass_threshold: ClassVar[float] = 1.0
    """The reward from which an attempt counts as passed in pass@k."""

    tools: ClassVar[Mapping[str, Tool]] = {}
    scorers: ClassVar[tuple[Scorer, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.Config = _config_type(cls)
        cls.tools = find_tools(cls)
        cls.scorers = _find_scorers(cls)

    def __init__(
        self,
        task: Task,
        *,
        config: Any = None,
        shared: Any = None,
        models: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.task = task
        self.config: Any = type(self).Config() if config is None else config
        self.shared = shared
        self.models: Mapping[str, Any] = {} if models is None else models
        self.seed = seed
        self.done = False

    @classmethod
    def tasks(cls, config: Any, split: str) -> Iterable[Task] | AsyncIterable[Task]:
        """Yields the tasks of a split; may be a generator, endless ones too (`--limit`)."""
        raise ConfigError(
            f"{cls.__name__} has no tasks of its own",
            hint="Give it some with --tasks FILE.jsonl, or write a classmethod "
            "`tasks(cls, config, split)`.",
        )

    if TYPE_CHECKING:  # a classmethod on the class, its value on an instance
        shared: Any
    else:

        @classmethod
        def shared(cls, config: Any) -> AbstractAsyncContextManager | AbstractContextManager:
            """A context manager, entered once a run; its value is `self.shared` everywhere."""
            return nullcontext()

    def setup(self) -> Awaitable[None] | None:
        """Prepares the state of this attempt.

        It may replace `self.task`, to open the conversation with what it made up.
        """
        return None

    def reply(self, message: Message) -> Awaitable[Reply] | Reply:
        """The environment's turn after an assistant message without tool calls.

        Returns:
            Text (said by the user), a message, or several, to go on; None to end the attempt.
        """
        return None

    def teardown(self) -> Awaitable[None] | None:
        """Frees what `setup` took. Always runs, also after a failure or a cancellation."""
        return None

    @classmethod
    def make_config(cls, settings: Any = None) -> Any:
        """Checks settings (a mapping, or a `Config`) and completes them with defaults.

        Raises:
            ConfigError: Names the setting that is unknown, missing or has the wrong type.
        """
        if isinstance(settings, cls.Config):
            return settings
        try:
            return msgspec.convert(dict(settings or {}), cls.Config, strict=False)
        except msgspec.ValidationError as error:
            names = ", ".join(field.name for field in msgspec.structs.fields(cls.Config))
            raise ConfigError(
                f"environment {cls.name}: {error}", hint=f"Its settings are: {names or 'none'}"
            ) from error

    @property
    def rng(self) -> random.Random:
        """Random numbers of this attempt, from `seed`: the same ones whenever it is repeated."""
        if self._rng is None:
            self._rng = random.Random(self.seed)
        return self._rng

    _rng: random.Random | None = None

    def offered_tools(self) -> dict[str, Tool]:
        """The tools that this task offers."""
        if self.task.tools is None:
            return dict(self.tools)
        return {name: self.tools[name] for name in self.task.tools}

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker process: everything but what belongs to this process."""
        return {k: v for k, v in self.__dict__.items() if k not in ("shared", "models")}


def _find_scorers(cls: type) -> tuple[Scorer, ...]:
    """All rewards and metrics of a class, inherited ones included, in the order of definition."""
    found: dict[str, Scorer] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            scorer = getattr(value, _MARK, None) if callable(value) else None
            if scorer is None:
                found.pop(attribute, None)
                continue
            if scorer.process and inspect.iscoroutinefunction(value):
                raise ConfigError(
                    f"{cls.__name__}.{attribute}: a reward with process=True cannot be async"
                )
            found[attribute] = scorer._replace(name=attribute)
    return tuple(found.values())


def _config_type(cls: type) -> type:
    """The settings as a Struct, also if written as a plain class or dataclass."""
    config = cls.__dict__.get("Config", getattr(cls, "Config", Config))
    if isinstance(config, type) and issubclass(config, msgspec.Struct):
        return config
    fields: list[Any] = []
    for name, hint in typing.get_type_hints(config, include_extras=True).items():
        default = getattr(config, name, msgspec.NODEFAULT)
        if dataclasses.is_dataclass(config):
            factory = config.__dataclass_fields__[name].default_factory
            if factory is not dataclasses.MISSING:
                default = msgspec.field(default_factory=factory)
        if isinstance(default, list | dict | set):
            default = msgspec.field(default_factory=default.copy)
        fields.append((name, hint) if default is msgspec.NODEFAULT else (name, hint, default))
    return msgspec.defstruct(
        "Config",
        fields,
        bases=(Config,),
        namespace={"__doc__": config.__doc__},
        module=cls.__module__,
        kw_only=True,
    )
