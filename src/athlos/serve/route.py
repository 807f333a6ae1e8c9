"""What an endpoint is, and what it needs to know of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from athlos.serve.replays import Answered

if TYPE_CHECKING:
    from athlos.serve.mount import Mount

__all__ = ["Handler", "Receive", "Request", "Route"]

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Request(NamedTuple):
    """What a handler needs of a request.

    Attributes:
        session: Name of the session that it is for; "" if it names none.
        cookie: Whether that came as a cookie.
        keyed: Whether a client that lost the reply will ask for it again.
        receive: Tells when the client goes away.
        path: As it was asked for.
        guest: Whether the session itself let it in, and not the server's token.
    """

    body: bytes
    session: str
    cookie: bool
    keyed: bool
    receive: Receive
    path: str = ""
    guest: bool = False


Handler = Callable[[Request], Awaitable[Answered]]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """An endpoint.

    Attributes:
        label: Of its metrics.
        timeout: Seconds; None if the attempt's own deadline is the limit.
        mount: The environment it is of.
        begins: Whether it begins an attempt.
    """

    handler: Handler
    label: str
    timeout: float | None
    mount: Mount | None = None
    begins: bool = False
