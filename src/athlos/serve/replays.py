"""A request that comes again with the same key is answered again, and not executed again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from athlos.serve.refused import Refused

__all__ = ["Answered", "Replays"]

Key = tuple[str, ...]


class Answered(NamedTuple):
    """A reply.

    Attributes:
        kind: Content type.
        session: Of the session whose cookie goes with it; "" if there is none.
        fresh: Whether the session has just been opened.
        headers: Further ones.
    """

    status: int
    body: bytes
    kind: bytes = b"application/json"
    session: str = ""
    fresh: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Replays:
    """Replies by key, as many as there is room for; the oldest go first.

    Args:
        most: How many are kept.
        room: Bytes that all of them may have.

    Attributes:
        used: How many requests were answered from here.
    """

    def __init__(self, most: int = 65_536, room: int = 64 << 20) -> None:
        self.used = 0
        self._most = most
        self._room = room
        self._kept: OrderedDict[Key, tuple[bytes, Answered]] = OrderedDict()
        self._under_way: dict[Key, tuple[bytes, asyncio.Future[Answered]]] = {}
        self._size = 0

    async def once(
        self, key: Key, digest: bytes, make: Callable[[], Awaitable[Answered]]
    ) -> Answered:
        """The reply to a request; `make` is called if there is none yet.

        Args:
            key: Names the request.
            digest: Of its content.
            make: Executes it. What fails on the server's side is not kept: it may be tried again.

        Raises:
            Refused: The key was used for another request.
        """
        if (kept := self._kept.get(key)) is not None:
            self._compare(kept[0], digest)
            self.used += 1
            return kept[1]
        if (going := self._under_way.get(key)) is not None:
            self._compare(going[0], digest)
            self.used += 1
            await asyncio.wait((going[1],))
            if going[1].cancelled():
                raise Refused(503, "repeat", "the first try was cut off", retryable=True)
            return going[1].result()
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._under_way[key] = (digest, future)
        try:
            answered = await make()
        except BaseException:
            future.cancel()
            raise
        else:
            future.set_result(answered)
        finally:
            del self._under_way[key]
        if answered.status < 429:
            self._keep(key, digest, answered)
        return answered

    def _compare(self, before: bytes, now: bytes) -> None:
        if before != now:
            raise Refused(
                409, "key_reused", "this idempotency key was used for another request before"
            )

    def _keep(self, key: Key, digest: bytes, answered: Answered) -> None:
        self._kept[key] = (digest, answered)
        self._size += len(answered.body)
        while self._kept and (len(self._kept) > self._most or self._size > self._room):
            _, (_, dropped) = self._kept.popitem(last=False)
            self._size -= len(dropped.body)
