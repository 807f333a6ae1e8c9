"""The gateway as a service: rollouts are opened and closed over HTTP, with a token of its own."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from msgspec import Struct

from athlos.errors import ConfigError
from athlos.gateway.app import Receive, Scope, Send, read_body, send_json
from athlos.gateway.lease import Lease
from athlos.gateway.refusal import Refusal
from athlos.gateway.server import Gateway
from athlos.models.client import Model
from athlos.types import Rollout, Status

__all__ = ["Standalone"]

_MAX_BODY = 1 << 20  # bytes
_SHORTEST = 16  # characters of a token
_T = TypeVar("_T")


class _Open(Struct, forbid_unknown_fields=True):
    """What a rollout is opened with."""

    id: str = ""
    task_id: str = ""
    sample: int = 0
    pin: dict[str, Any] = {}
    deadline: float | None = None
    max_calls: int | None = None


class _Close(Struct, forbid_unknown_fields=True):
    """What is known of a rollout when it is over; without a reward it is not scored."""

    reward: float | None = None
    rewards: dict[str, float] = {}
    metrics: dict[str, float] = {}
    status: Status = "completed"
    stop_reason: str = "closed"


class Standalone:
    """A gateway whose rollouts others open, with a token.

    | request | what it does |
    |---|---|
    | `GET /health` | says that it runs; needs no token |
    | `POST /rollouts` | opens one: `id`, `task_id`, `sample`, `pin`, `deadline`, `max_calls` |
    | `GET /rollouts/ID` | says how far it is |
    | `DELETE /rollouts/ID` | closes it: `reward`, `rewards`, `metrics`, `status`, `stop_reason` |

    Args:
        model: Answers the calls.
        token: Opens `/rollouts`; None makes one.
        pin: Sampling parameters of all rollouts that win over what harnesses send.
        record: Keeps a rollout that is over.
        taken: `(task_id, sample)` of rollouts that were kept before.
        host: To listen on.
        port: 0 takes a free one.

    Attributes:
        token: The token.
        gateway: The gateway.

    Raises:
        ConfigError: The token is too short to be a secret.
    """

    def __init__(
        self,
        model: Model,
        *,
        token: str | None = None,
        pin: Mapping[str, Any] | None = None,
        record: Callable[[Rollout], None],
        taken: Collection[tuple[str, int]] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if token is not None and len(token) < _SHORTEST:
            raise ConfigError(
                f"the token is too short: it needs at least {_SHORTEST} characters",
                hint="`openssl rand -hex 32` makes a good one.",
            )
        self.token = token or secrets.token_urlsafe(32)
        self.gateway = Gateway(model, host=host, port=port, admin=self._answer)
        self._pin = dict(pin or {})
        self._record = record
        self._taken = set(taken)
        self._leases: dict[str, Lease] = {}
        self._opened: dict[str, float] = {}

    async def close(self) -> None:
        """Closes the server; rollouts that are open are kept as truncated."""
        for rollout_id in list(self._leases):
            self._end(rollout_id, _Close(status="truncated", stop_reason="gateway_closed"))
        await self.gateway.close()

    async def __aenter__(self) -> Self:
        await self.gateway.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what is under no rollout's URL."""
        path, method = scope["path"], scope["method"]
        if path == "/health" and method in ("GET", "HEAD"):
            await send_json(send, 200, b'{"status":"ok"}')
            return
        self._check(scope)
        status = 200
        if path == "/rollouts" and method == "POST":
            status, value = 201, self._begin(_read(await self._body(scope, receive), _Open))
        elif path.startswith("/rollouts/") and method in ("GET", "DELETE"):
            rollout_id = path.removeprefix("/rollouts/")
            if rollout_id not in self._leases:
                raise Refusal(404, "no such rollout is open")
            if method == "GET":
                value = self._describe(self._leases[rollout_id])
            else:
                value = self._end(rollout_id, _read(await self._body(scope, receive), _Close))
        else:
            raise Refusal(404, "no such endpoint")
        await send_json(send, status, msgspec.json.encode(value))

    def _check(self, scope: Scope) -> None:
        given = b""
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = bytes(value[7:].strip())
        if not hmac.compare_digest(given, self.token.encode()):
            raise Refusal(401, "this needs the gateway's token", "invalid_api_key")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        return await read_body(scope, receive, _MAX_BODY) or b"{}"

    def _begin(self, asked: _Open) -> dict[str, Any]:
        rollout_id = asked.id or f"r-{secrets.token_hex(8)}"
        task = asked.task_id or rollout_id
        key = (task, asked.sample)
        if rollout_id in self._leases or key in self._taken:
            raise Refusal(409, "there is such a rollout already", "exists")
        rollout = Rollout(rollout_id, task, asked.sample, "gateway", self.gateway.model.name)
        rollout.timing.started = time.time()
        try:
            lease = self.gateway.open(
                rollout,
                pin={**asked.pin, **self._pin},
                deadline=asked.deadline,
                max_calls=asked.max_calls,
            )
        except ConfigError as error:
            raise Refusal(400, error.message) from None
        self._taken.add(key)
        self._leases[rollout_id] = lease
        self._opened[rollout_id] = time.monotonic()
        return {
            "id": rollout_id,
            "base_url": lease.base_url,
            "api_key": lease.api_key,
            "environ": lease.environ(),
        }

    def _describe(self, lease: Lease) -> dict[str, Any]:
        rollout = lease.rollout
        return {
            "id": rollout.id,
            "calls": len(rollout.calls),
            "under_way": lease.busy,
            "usage": rollout.usage,
            "errors": [error.message for error in lease.errors],
            "warnings": lease.warnings,
        }

    def _end(self, rollout_id: str, known: _Close) -> dict[str, Any]:
        lease = self._leases.pop(rollout_id)
        lease.close()
        rollout = lease.rollout
        rollout.timing.duration = time.monotonic() - self._opened.pop(rollout_id)
        rollout.timing.model = min(rollout.timing.model, rollout.timing.duration)
        rollout.status, rollout.stop_reason = known.status, known.stop_reason
        rollout.rewards, rollout.metrics = known.rewards, known.metrics
        if known.reward is not None:
            rollout.reward = known.reward
        else:
            rollout.reward = sum(known.rewards.values())
            if not known.rewards:
                rollout.extra["scored"] = False
        if lease.errors:
            rollout.extra["errors"] = [error.message for error in lease.errors]
        self._record(rollout)
        return self._describe(lease)


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"the body is not as it should be: {error}") from None
