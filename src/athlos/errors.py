"""Every error that Athlos raises, in one tree.

    AthlosError
    ├── ConfigError            a mistake of the user's; the command line shows it and exits with 2
    ├── ModelError             a backend failed; `retryable` says whether asking again can help
    │   └── ContextOverflow    the prompt no longer fits; the attempt ends as truncated
    ├── EnvError               an environment's own code failed (tasks, setup, reply, shared)
    │   └── VerifierError      a reward or metric failed, or returned something unusable
    │       └── VerifierTimeout    it took longer than its limit
    ├── JudgeError             a judge model failed or its verdict was unreadable
    ├── SandboxError           the sandbox, not the code in it, failed
    ├── TokenError             recorded tokens contradict each other; nothing may be trained on them
    ├── AgentError             the harness failed
    ├── AttemptTimeout         the attempt outlived its deadline
    ├── BudgetError            the run's ceiling of tokens or cost refused a call
    └── Cancelled              the attempt was given up: interrupted, or not needed any more

    ToolError                  raised by a tool, for the model to read; never ends an attempt

Each class maps to one `failure_class` in the record. All of them pickle: they cross process
boundaries.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AgentError",
    "AthlosError",
    "AttemptTimeout",
    "BudgetError",
    "Cancelled",
    "ConfigError",
    "ContextOverflow",
    "EnvError",
    "JudgeError",
    "ModelError",
    "SandboxError",
    "TokenError",
    "ToolError",
    "VerifierError",
    "VerifierTimeout",
]


class AthlosError(Exception):
    """Root of the tree.

    Args:
        message: What happened, with the names and values that a person needs to act.
        hint: What to do about it, if that is known.
    """

    failure_class: ClassVar[str] = "engine_error"
    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(AthlosError, ValueError):
    """A mistake in what the user wrote: a reference, an option, a file, a setting."""

    failure_class = "config_error"


class ModelError(AthlosError):
    """A backend did not answer, or its answer was unusable.

    Attributes:
        status: The HTTP status, or None if there was no reply.
        retryable: Whether the same request can succeed later.
        retry_after: Seconds that the server asked to wait, if it did.
    """

    failure_class = "model_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class ContextOverflow(ModelError):
    """The conversation no longer fits into the model's context."""


class EnvError(AthlosError):
    """The environment's own code failed."""

    failure_class = "environment_error"


class VerifierError(EnvError):
    """A reward or metric raised, ran out of time, or returned no finite number."""

    failure_class = "verifier_error"


class VerifierTimeout(VerifierError, TimeoutError):
    """A reward or metric took longer than its limit."""


class JudgeError(AthlosError):
    """A judge model failed, or its verdict could not be read."""

    failure_class = "judge_error"
    retryable = True


class SandboxError(AthlosError):
    """The sandbox failed; what ran inside it is not to blame."""

    failure_class = "sandbox_error"
    retryable = True


class TokenError(AthlosError, ValueError):
    """Token ids, log-probabilities or versions contradict what the calls of a rollout recorded.

    Attributes:
        rule: Which invariant of a training sequence is broken, `R1` to `R8`; "" if none is meant.
        rollout_id: The rollout.
        call: Number of the call, from 0, if one is to blame.
        position: The first place in the sequence (or the prompt) that is wrong, if there is one.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        rule: str = "",
        rollout_id: str = "",
        call: int | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.rule = rule
        self.rollout_id = rollout_id
        self.call = call
        self.position = position


class AgentError(AthlosError):
    """The harness that drives the model failed."""

    failure_class = "agent_error"


class AttemptTimeout(AthlosError, TimeoutError):
    """The attempt did not end before its deadline."""

    failure_class = "timeout"
    retryable = True


class BudgetError(AthlosError):
    """A call was not made: the run has reached its ceiling of tokens or cost."""

    failure_class = "refused"
    retryable = True


class Cancelled(AthlosError):
    """The attempt was given up on purpose: interrupted, cut as a straggler, or gone stale."""

    failure_class = "cancelled"
    retryable = True


class ToolError(Exception):
    """Raised by a tool to tell the model what was wrong; the attempt goes on."""
