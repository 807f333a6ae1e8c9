"""How a capability is declared: its name, its use, what switches it on, and how to try it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from athlos.models.check.report import Found
from athlos.models.check.target import Target

__all__ = ["Capability", "Result", "capability", "no", "partly", "unknown", "yes"]

_SERVERS = {  # that an unknown one may turn out to be
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "nemo-rl": "NeMo RL",
}


class Result(Struct):
    """What a try of a capability showed; see `Finding`."""

    found: Found
    detail: str
    data: dict[str, Any] = field(default_factory=dict)


def yes(detail: str, **data: Any) -> Result:
    """It works."""
    return Result("yes", detail, data)


def partly(detail: str, **data: Any) -> Result:
    """Some of it works."""
    return Result("partly", detail, data)


def no(detail: str, **data: Any) -> Result:
    """It was refused, or did not do what it should."""
    return Result("no", detail, data)


def unknown(detail: str, **data: Any) -> Result:
    """Nothing was shown, in either direction."""
    return Result("unknown", f"not shown: {detail}", data)


Probe = Callable[[Target], Awaitable[Result]]


@dataclass(frozen=True)
class Capability:
    """One row of the table.

    Attributes:
        name: What it is called.
        unlocks: What Athlos can do with it.
        switch_on: What helps if it is missing, by kind of server; "" is any server.
        probe: Tries it.
        required: Whether Athlos cannot do without it.
        needs: Capabilities without which it need not be tried.
        after: Capabilities whose tries it can use, whatever came of them.
    """

    name: str
    unlocks: str
    switch_on: Mapping[str, str]
    probe: Probe
    required: bool = False
    needs: tuple[str, ...] = ("chat",)
    after: tuple[str, ...] = ()

    def advice(self, server: str) -> str:
        """What to switch on at a server of this kind, or at all that are known."""
        if server:
            return self.switch_on.get(server, self.switch_on.get("", ""))
        named = [
            f"{_SERVERS[kind]}: {text}"
            for kind, text in self.switch_on.items()
            if kind in _SERVERS and not text.startswith("nothing")
        ]
        return "\n".join(named) or self.switch_on.get("", "")


def capability(
    name: str,
    *,
    unlocks: str,
    switch_on: Mapping[str, str] | None = None,
    required: bool = False,
    needs: tuple[str, ...] = ("chat",),
    after: tuple[str, ...] = (),
) -> Callable[[Probe], Capability]:
    """Makes a capability of the function that tries it."""

    def declare(probe: Probe) -> Capability:
        return Capability(name, unlocks, switch_on or {}, probe, required, needs, after)

    return declare
