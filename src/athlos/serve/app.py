"""The ASGI application: who may ask, what for, how long it may take, and how the answer is sent."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from hashlib import blake2b
from typing import Any

from athlos.errors import AthlosError
from athlos.serve.counters import Counters
from athlos.serve.mcp import LABEL as MCP
from athlos.serve.mount import Mount
from athlos.serve.refused import Refused, blamed, refused, timed_out
from athlos.serve.replays import Answered, Replays
from athlos.serve.route import Request, Route
from athlos.timeouts import time_limit

__all__ = ["App", "Head", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SESSION = b"athlos-session"
_LONGEST_KEY = 200
_LENGTH = b"content-length"
_TYPE = b"content-type"
_KEYS = {b"idempotency-key": None, b"x-request-id": None}.keys()  # in this order
_LOCAL = frozenset((b"127.0.0.1", b"localhost", b"[::1]"))

_log = logging.getLogger(__name__)


class Head:
    """What the headers of a request say.

    Attributes:
        given: The headers.
        session: Named by a header; "" if none was.
        guest: Whether the token is that of the session.
    """

    __slots__ = ("given", "guest", "session")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.given = dict(headers)
        self.session = self.given.get(SESSION, b"").decode("latin-1")
        self.guest = False

    @property
    def token(self) -> bytes:
        """Of `Authorization: Bearer`."""
        found = self.given.get(b"authorization", b"")
        return found[7:].strip() if found[:7].lower() == b"bearer " else b""

    @property
    def key(self) -> tuple[str, bytes] | None:
        """Of the request, by which it is known again: the header's name and value."""
        if _KEYS.isdisjoint(self.given):
            return None
        for name in _KEYS:
            if self.given.get(name, b"").strip():  # one that is empty names nothing
                return name.decode(), self.given[name]
        return None

    @property
    def length(self) -> int:
        """Of the body, if that is said."""
        length = self.given.get(_LENGTH, b"0")
        return int(length[:20]) if length.isdigit() else 0


def _is_foreign(given: dict[bytes, bytes], known: frozenset[bytes]) -> bool:
    """Whether a page of another site may have sent it, to a name that leads here."""
    host, origin = given.get(b"host", b""), given.get(b"origin", b"localhost")
    return not (_bare(host) in known and _bare(origin) in known)


def _bare(place: bytes) -> bytes:
    host = place.rpartition(b"//")[2]
    bare = host[: host.index(b"]") + 1] if b"]" in host else host.partition(b":")[0]
    return bare.lower()


class App:
    """Answers requests, each by the route that it names.

    Args:
        mounts: The environments.
        routes: Endpoints beside those of the environments, by method and path.
        token: Opens everything but `/health`; None lets everybody in.
        replays: Replies to requests that may come again.
        max_body: Bytes of a request.
        forward: Hands a request to the process whose it is, if that is another one.
        host: What the server listens on; without a token it is one of the names to ask it by.
    """

    def __init__(
        self,
        mounts: list[Mount],
        routes: Mapping[tuple[str, str], Route],
        *,
        token: str | None,
        replays: Replays,
        max_body: int,
        forward: Forward | None = None,
        host: str = "localhost",
    ) -> None:
        self.counters = Counters()
        self.under_way = 0
        self._mounts = {mount.prefix: mount for mount in mounts}
        self._routes = dict(routes)
        for mount in mounts:
            self._routes |= mount.routes()
        self._paths: dict[str, list[str]] = {}
        for method, path in self._routes:
            self._paths.setdefault(path, []).append(method)
        self._open = token is None
        self._token = (token or "").encode()
        self._bearer = b"Bearer " + self._token
        self._replays = replays
        self._max_body = max_body
        self._forward = forward
        self._known = _LOCAL | {(f"[{host}]" if ":" in host else host).lower().encode()}

    @property
    def routes(self) -> Mapping[tuple[str, str], Route]:
        """All endpoints, by method and path."""
        return self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; nothing that goes wrong in it passes."""
        if scope["type"] != "http":
            return
        started = time.monotonic()
        route: Route | None = None
        self.under_way += 1
        try:
            head = Head(scope["headers"])
            try:
                route = self._route(scope, head)
                answered = await self._answer(scope, receive, head, route)
            except _Gone:
                return
            except Refused as error:
                answered = Answered(error.status, error.body(), headers=error.headers)
            except Exception:  # noqa: BLE001 - a bug of ours must not end other requests
                _log.exception("a request failed by a mistake of the server's")
                failed = Refused(500, "internal", "the server failed", failure_class="engine_error")
                answered = Answered(500, failed.body())
            status = answered.status
            if status >= 500:
                label = route.label if route is not None else "?"
                _log.warning("%s answered with status %d", label, status)
            try:
                await _send(send, answered, route, head)
            except (RuntimeError, ConnectionError):  # the client has gone
                return
            self.counters.add(route, status, time.monotonic() - started)
        finally:
            self.under_way -= 1

    def _route(self, scope: Scope, head: Head) -> Route:
        """The route of a request, if it may ask for it."""
        method, path = scope["method"], scope["path"]
        if method == "HEAD":
            method = "GET"
        route = self._routes.get((method, path))
        if route is None and path.startswith("/ng-rollout/"):
            path = _without_rollout(path)
            route = self._routes.get((method, path))
        if route is not None and route.label == "/health":
            return route
        if not self._open:
            if not self._knows(head) and not self._take_guest(head, path):
                raise Refused(
                    401, "unauthorized", "this needs the server's token, as a bearer token",
                    headers=((b"www-authenticate", b"Bearer"),),
                )  # fmt: skip
        elif _is_foreign(head.given, self._known):
            raise Refused(403, "forbidden", "without a token only this machine may ask")
        else:
            self._take_guest(head, path)
        if route is not None:
            return route
        if methods := self._paths.get(path):
            allowed = ", ".join(sorted(methods)).encode()
            said = f"this endpoint takes {', '.join(sorted(methods))}"
            raise Refused(405, "method_not_allowed", said, headers=((b"allow", allowed),))
        prefix, _, name = path.rpartition("/")
        mount = self._mounts.get(prefix)
        if method == "POST" and name and mount is not None and _session(head, mount)[0]:
            return mount.no_tool
        raise Refused(404, "not_found", "there is no such endpoint")

    def _knows(self, head: Head) -> bool:
        """Whether a request has the server's token."""
        given = head.given.get(b"authorization", b"")
        if hmac.compare_digest(given, self._bearer):  # as most clients write it
            return True
        return hmac.compare_digest(head.token, self._token)

    def _take_guest(self, head: Head, path: str) -> bool:
        """Whether the token is that of a session, and its tools are asked for."""
        route = self._routes.get(("POST", path))
        if route is None or route.label != MCP or route.mount is None or not head.token:
            return False
        name = head.token.decode("latin-1")
        if self._forward is None and not route.mount.mcp.opens(name):  # else its process looks
            return False
        head.session, head.guest = name, True
        return True

    async def _answer(self, scope: Scope, receive: Receive, head: Head, route: Route) -> Answered:
        session, cookie = head.session, False
        if route.mount is None:
            session = ""
        elif not session:
            session, cookie = _session(head, route.mount)
        body = b""
        key = None
        if scope["method"] == "POST":
            if head.length > self._max_body:
                raise self._too_large()
            message = await receive()  # the connection bounds the time
            body = message.get("body", b"")
            if message.get("more_body") or message["type"] == "http.disconnect":
                body = await self._rest(receive, message)
            key = head.key
        if key is not None and len(key[1]) > _LONGEST_KEY:
            raise Refused(400, "invalid_request", f"{key[0]} is too long")
        if self._forward is not None:
            answered = await self._forward(scope, route, session, key, body)
            if answered is not None:
                self.counters.forwarded += 1
                return answered
        keyed = key is not None
        request = Request(body, session, cookie, keyed, receive, scope["path"], head.guest)
        if key is None:
            return await self._execute(route, request)
        digest = blake2b(body, digest_size=16).digest()
        name = key[1].decode("latin-1")
        # a trace may use one request id for several requests; an idempotency key names one
        names: tuple[str, ...] = (session, scope["path"], key[0], name)
        if key[0] == "x-request-id":
            names = (*names, digest.hex())
        return await self._replays.once(names, digest, lambda: self._execute(route, request))

    async def _execute(self, route: Route, request: Request) -> Answered:
        limit = time_limit(route.timeout)
        try:
            with limit:
                return await route.handler(request)
        except Refused as error:
            refusal = error
        except TimeoutError:
            if not limit.expired:
                raise
            refusal = timed_out(route.timeout)
        except AthlosError as error:
            refusal = refused(error)
        except KeyboardInterrupt as error:  # an author's code; signals are handled elsewhere
            refusal = refused(blamed("the environment", error))
        # an agent keeps the cookies of the last reply, and no others
        known = route.mount is not None and route.mount.knows(request.session)
        session = request.session if known else ""
        return Answered(refusal.status, refusal.body(), session=session, headers=refusal.headers)

    async def _rest(self, receive: Receive, message: Mapping[str, Any]) -> bytes:
        """A body that comes in pieces, of which the first is there."""
        pieces: list[bytes] = []
        have = 0
        while True:
            if message["type"] == "http.disconnect":
                raise _Gone
            pieces.append(message.get("body", b""))
            have += len(pieces[-1])
            if have > self._max_body:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await receive()

    def _too_large(self) -> Refused:
        return Refused(413, "too_large", f"the body is longer than {self._max_body} bytes")


Forward = Callable[
    [Scope, Route, str, "tuple[str, bytes] | None", bytes], Awaitable["Answered | None"]
]


async def _send(send: Send, answered: Answered, route: Route | None, head: Head) -> None:
    status, body, kind, session, fresh, further = answered
    headers = [(_TYPE, kind), (_LENGTH, b"%d" % len(body))]
    # a client that names its session by the header has no use for the cookie
    if session and (fresh or not head.session) and route is not None and route.mount is not None:
        name = session.encode("latin-1")
        cookie = b"%b=%b; Path=/; HttpOnly; SameSite=Lax" % (route.mount.cookie, name)
        headers.append((b"set-cookie", cookie))
        if fresh:
            headers.append((SESSION, name))
    if further:
        headers += further
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class _Gone(Exception):
    """The client has closed the connection."""


def _session(head: Head, mount: Mount) -> tuple[str, bool]:
    """The session that a request names, and whether by a cookie."""
    if head.session:
        return head.session, False
    if cookies := head.given.get(b"cookie"):
        wanted = mount.cookie
        for part in cookies.split(b";"):
            name, _, value = part.strip().partition(b"=")
            if name == wanted and value:
                return value.decode("latin-1").strip('"'), True
    return "", False


def _without_rollout(path: str) -> str:
    """A path without the prefix that NeMo Gym puts before one, to say whose call it is."""
    rest = path.removeprefix("/ng-rollout/").partition("/")[2]
    return "/" + rest.removeprefix("training-token-capture/")
