"""What a client is told when a request is not answered: a status, and `{"error": {...}}`."""

from __future__ import annotations

from typing import Any

import msgspec

from athlos.errors import AthlosError, EnvError
from athlos.types import Failure

__all__ = ["Refused", "blamed", "refused", "timed_out"]

# By failure class. All else is 500: somebody's code failed, and nothing was scored.
_STATUS = {
    "config_error": 422,
    "not_reproduced": 409,
    "refused": 429,
    "model_error": 502,
    "judge_error": 502,
    "sandbox_error": 503,
    "cancelled": 503,
    "timeout": 504,
}


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: Of HTTP.
        code: What happened, for a program.
        message: What happened, for a person.
        failure_class: Whose fault it is, as in the record of a failed attempt; "" if it is the
            client's.
        retryable: Whether the same can go well later.
        headers: Further ones of the reply.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        failure_class: str = "",
        retryable: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.failure_class = failure_class
        self.retryable = retryable
        self.headers = headers

    def facts(self) -> dict[str, Any]:
        """What happened, for a program."""
        found: dict[str, Any] = {"code": self.code}
        if self.failure_class:
            found["failure_class"] = self.failure_class
        found["retryable"] = self.retryable
        return found

    def body(self) -> bytes:
        """As it goes over the wire."""
        return msgspec.json.encode({"error": {"message": self.message, **self.facts()}})


def refused(error: AthlosError | Failure) -> Refused:
    """The refusal that an error, or a failed attempt, comes to: never a reward."""
    kind = error.failure_class
    return Refused(
        _STATUS.get(kind, 500),
        kind,
        error.message,
        failure_class=kind,
        retryable=error.retryable,
    )


def timed_out(seconds: float | None) -> Refused:
    """The refusal of a request that took longer than it may."""
    return Refused(
        504, "timeout", f"it took longer than {seconds:g} s", failure_class="timeout",
        retryable=True,
    )  # fmt: skip


def blamed(what: str, error: BaseException) -> EnvError:
    """The error for what no code of an environment may raise."""
    return EnvError(f"{what} raised {type(error).__name__}{f': {error}' if str(error) else ''}")
