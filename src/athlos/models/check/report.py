"""What a check of a model server found."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

__all__ = ["Finding", "Found", "Report"]

Found = Literal["yes", "partly", "no", "unknown"]


class Finding(Struct):
    """One capability of the server.

    Attributes:
        capability: Its name.
        found: "unknown" if nothing showed that it is there, nor that it is not: a model that
            makes no tool call says nothing of the server's parser.
        detail: What was seen.
        unlocks: What Athlos can do with it.
        switch_on: What to change at the server; "" if it is there, or nothing is known to help.
        required: Whether Athlos cannot do without it.
        data: The same for programs; its keys depend on the capability.
        seconds: What the requests took.
    """

    capability: str
    found: Found
    detail: str
    unlocks: str
    switch_on: str = ""
    required: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class Report(Struct):
    """All findings about one model of one server.

    Attributes:
        url: The base URL, or what the model is called if it has none.
        model: The name of the model.
        server: Which program serves it, as far as its replies say: "vllm", "sglang",
            "llamacpp", "nemo-rl", "local", or "".
        findings: In the order of the table.
    """

    url: str
    model: str
    server: str
    findings: list[Finding]

    def __getitem__(self, capability: str) -> Finding:
        """The finding about a capability.

        Raises:
            KeyError: There is no such capability.
        """
        for finding in self.findings:
            if finding.capability == capability:
                return finding
        raise KeyError(capability)

    @property
    def missing(self) -> list[str]:
        """The required capabilities that were not seen to work."""
        return [
            finding.capability
            for finding in self.findings
            if finding.required and finding.found in ("no", "unknown")
        ]
