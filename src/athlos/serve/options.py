"""What a server is made of. It travels to worker processes, so there is no secret in it."""

from __future__ import annotations

import ipaddress
from typing import Any

from msgspec import Struct, field

from athlos.errors import ConfigError

__all__ = ["EnvOptions", "Options", "Policy", "is_loopback"]


class EnvOptions(Struct):
    """An environment to serve.

    Attributes:
        reference: As `athlos.load` takes it.
        settings: Of the environment.
    """

    reference: str
    settings: dict[str, Any] = {}


class Policy(Struct):
    """A model server that `/run` and `/v1/responses` ask, or that a role of `self.models` is.

    Attributes:
        base_url: Of its replicas.
        model: Name at the server; without it a request may name one, or it is the only one.
        api_key_env: Variable that holds the key.
        sampling: Parameters of every call.
        tokens: Whether to ask for token ids: `off` or `capture`.
    """

    base_url: list[str]
    model: str | None = None
    api_key_env: str | None = None
    sampling: dict[str, Any] = {}
    tokens: str = "off"


class Options(Struct, kw_only=True):
    """How to serve.

    Attributes:
        environments: One is served at the root; several each under its name.
        host: To listen on; others than loopback addresses need a token.
        port: 0 takes a free one.
        policy: Answers for the model in `/run` and `/v1/responses`; without it there are none.
        models: By role, for `self.models`.
        max_turns: Assistant messages after which an attempt is truncated.
        seed: Of environments, as in `athlos run`.
        max_sessions: Attempts at once, over all environments.
        lease: Seconds after which a session that nobody uses is closed.
        deadline: Seconds that an attempt may take.
        timeout: Seconds that one request may take, but for `/run` and `/v1/responses`.
        max_body: Bytes of a request.
        drain: Seconds that attempts may go on when the server is told to end.
        workers: Processes.
        sandbox: Where sandboxes come from, for environments that ask for them.

    Raises:
        ConfigError: A number makes no sense.
    """

    environments: list[EnvOptions]
    host: str = "127.0.0.1"
    port: int = 0
    policy: Policy | None = None
    models: dict[str, Policy] = field(default_factory=dict)
    max_turns: int = 50
    seed: int | None = None
    max_sessions: int = 10_000
    lease: float = 1800.0
    deadline: float = 14_400.0
    timeout: float = 600.0
    max_body: int = 32 << 20
    drain: float = 30.0
    workers: int = 1
    sandbox: str = "auto"

    def __post_init__(self) -> None:
        if not self.environments:
            raise ConfigError("no environment to serve", hint="`athlos list` shows those there are")
        for name in ("max_sessions", "lease", "deadline", "timeout", "max_body", "workers"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be more than 0, not {value:g}")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
