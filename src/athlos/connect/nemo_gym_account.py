"""Where each key of a configuration went: into a run file, to a server, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

__all__ = ["Account", "Imported"]


class Imported(Struct):
    """The settings of a run file, and where each key of the configuration went.

    Attributes:
        settings: Keys and values of a run file.
        used: (key there, what it became).
        server: Keys that the server or its launcher reads, which is not ours to do.
        dropped: (key there, why there is nothing for it).
        notes: What is left to do.
        prompt_config: File that makes the prompts of the rows; "" if they have them.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    used: list[tuple[str, str]] = field(default_factory=list)
    server: list[str] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    prompt_config: str = ""


class Account:
    """Keeps the account while a configuration is gone through.

    Attributes:
        done: What there is up to now.
        seen: Keys that were spoken of; those below them are, too.
    """

    def __init__(self) -> None:
        self.done = Imported()
        self.seen: set[str] = set()

    def use(self, key: str, became: str, *, whole: bool = True) -> None:
        """A key has become something of ours; those below it, too, if it is the `whole`."""
        if whole:
            self.seen.add(key)
        self.done.used.append((key, became))

    def serves(self, key: str, settings: Mapping[str, Any], name: str) -> None:
        """A key of these settings, if they have it, is the server's or its launcher's."""
        if name in settings:
            self.seen.add(key)
            self.done.server.append(key)

    def drop(self, key: str, why: str) -> None:
        """There is nothing for a key."""
        self.seen.add(key)
        self.done.dropped.append((key, why))

    def is_seen(self, key: str) -> bool:
        """Whether a key, or one above it, has been spoken of."""
        return any(key == one or key.startswith((f"{one}.", f"{one}[")) for one in self.seen)
