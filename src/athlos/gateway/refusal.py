"""What a harness is told when a call was not answered, in the words of the API that it speaks."""

from __future__ import annotations

from typing import Any

import msgspec

from athlos.errors import AthlosError, BudgetError, ConfigError, ContextOverflow, ModelError

__all__ = ["Refusal", "refusal"]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
}


class Refusal(Exception):
    """A call that is not answered.

    Args:
        status: Of HTTP.
        message: What happened, for a person.
        code: What happened, for a program.
    """

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(status, message, code)
        self.status = status
        self.message = message
        self.code = code

    @property
    def kind(self) -> str:
        """The type of error, as both APIs call it."""
        if self.code == "insufficient_quota":
            return self.code
        return _TYPES.get(self.status, "api_error")

    def openai(self) -> bytes:
        """As a body of OpenAI's API."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return msgspec.json.encode({"error": error})

    def anthropic(self) -> bytes:
        """As a body of Anthropic's API."""
        kind = "rate_limit_error" if self.kind == "insufficient_quota" else self.kind
        message = self.message
        if self.code == "context_length_exceeded":  # clients of that API look for these words
            message = f"prompt is too long: {message}"
        error: dict[str, Any] = {"type": kind, "message": message}
        return msgspec.json.encode({"type": "error", "error": error})


def refusal(error: AthlosError) -> Refusal:
    """The refusal that an error of a model call comes to.

    A server that does not take the gateway's own key, or that failed, is the gateway's trouble and
    not the harness's: a 502.
    """
    message = error.message
    if isinstance(error, ContextOverflow):
        return Refusal(400, message, "context_length_exceeded")
    if isinstance(error, BudgetError):
        return Refusal(429, message, "insufficient_quota")
    if isinstance(error, ConfigError):
        return Refusal(400, message, "unsupported")
    status = error.status if isinstance(error, ModelError) else None
    if status is not None and 400 <= status < 500 and status not in (401, 403, 407, 409):
        return Refusal(status, message, "upstream_error")
    return Refusal(502, message, "upstream_error")
