"""The tools of a session for clients that speak MCP: `POST /mcp`.

The server's token opens it, with a session by header or cookie as everywhere; so does the name of
the session as the bearer token, and then that session's tools only. An agent that is given this
token can neither score an attempt nor reach another one. Messages are those of
`athlos.agents.mcp_messages`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from athlos.agents.mcp_messages import answer, refuse
from athlos.serve.dialogue import Dialogue
from athlos.serve.refused import Refused, timed_out
from athlos.serve.replays import Answered
from athlos.serve.route import Request, Route
from athlos.serve.session import Session
from athlos.timeouts import time_limit

if TYPE_CHECKING:
    from athlos.serve.mount import Mount

__all__ = ["LABEL", "ToolEndpoint"]

LABEL = "/mcp"


class ToolEndpoint:
    """The tools of an environment's sessions.

    Args:
        mount: The environment.
        timeout: Seconds that a request may take.
    """

    def __init__(self, mount: Mount, timeout: float) -> None:
        self._mount = mount
        self._timeout = timeout

    def routes(self) -> dict[tuple[str, str], Route]:
        """The endpoint, by method and path."""
        path = f"{self._mount.prefix}{LABEL}"
        return {("POST", path): Route(self._answer, LABEL, None, self._mount)}  # see `_answer`

    def opens(self, token: str) -> bool:
        """Whether a token is that of a session here."""
        found = self._mount.sessions.get(token)
        return found is not None and (not isinstance(found, Session) or self._is_own(found))

    def _is_own(self, session: Session) -> bool:
        return type(session.env) is self._mount.env

    async def _answer(self, request: Request) -> Answered:
        """Answers a message; whatever the status, a client finds a reply to its message."""
        limit = time_limit(self._timeout)
        try:
            with limit:
                session = self._find(request)

                async def run(name: str, arguments: str) -> tuple[str, bool]:
                    text, _, failed = await session.call(name, arguments)
                    return text, failed

                reply = await answer(request.body, session.tools, run)
                session.used = asyncio.get_running_loop().time()
                return Answered(reply.status, reply.body)
        except Refused as error:
            refused = error
        except TimeoutError:
            if not limit.expired:
                raise
            refused = timed_out(self._timeout)
        body = refuse(request.body, refused.message, refused.facts())
        return Answered(refused.status, body, headers=refused.headers)

    def _find(self, request: Request) -> Session:
        if request.guest and not self.opens(request.session):
            raise Refused(401, "unauthorized", "this token opens no session")
        session = self._mount.find(request)
        if isinstance(session, Dialogue):
            raise Refused(409, "wrong_flavour", "this session goes by /step, which runs the tools")
        return session
