"""Texts that match a regular expression: what a server's structured outputs do."""

from __future__ import annotations

import random
import string

__all__ = ["matching"]

_CLASSES = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " ",
}
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}
_ANY = string.ascii_letters + string.digits
_MOST = 4  # how often "*" repeats


def matching(pattern: str, rng: random.Random) -> str:
    """A text that matches `pattern`: literals, classes, groups, `|`, and repetitions.

    Raises:
        ValueError: The pattern has something else, or does not end where it should.
    """
    reader = _Reader(pattern, rng)
    text = reader.alternatives()
    if reader.at < len(pattern):
        raise ValueError(f"unexpected {pattern[reader.at]!r} at {reader.at} of the pattern")
    return text


class _Reader:
    """Reads a pattern and writes a match of it at the same time."""

    def __init__(self, pattern: str, rng: random.Random) -> None:
        self.at = 0
        self._pattern = pattern
        self._rng = rng

    def alternatives(self) -> str:
        texts = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            texts.append(self._sequence())
        return self._rng.choice(texts)

    def _peek(self) -> str:
        return self._pattern[self.at : self.at + 1]

    def _take(self) -> str:
        taken = self._peek()
        if not taken:
            raise ValueError("the pattern ends too early")
        self.at += 1
        return taken

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._peek() not in ("", "|", ")"):
            start = self.at
            text = self._atom()
            times = self._times()
            end = self.at
            for _ in range(times - 1):  # read again, so that each repetition is drawn anew
                self.at = start
                parts.append(self._atom())
            self.at = end
            if times:
                parts.append(text)
        return "".join(parts)

    def _atom(self) -> str:
        taken = self._take()
        if taken == "(":
            if self._pattern.startswith("?:", self.at):
                self.at += 2
            text = self.alternatives()
            if self._take() != ")":
                raise ValueError("a group of the pattern has no end")
            return text
        if taken == "[":
            return self._rng.choice(self._members())
        if taken == "\\":
            return self._rng.choice(self._escaped())
        if taken == ".":
            return self._rng.choice(_ANY)
        if taken in "^$":
            return ""
        if taken in "*+?{":
            raise ValueError(f"nothing to repeat at {self.at} of the pattern")
        return taken

    def _escaped(self) -> str:
        taken = self._take()
        return _CLASSES.get(taken) or _CONTROL.get(taken, taken)

    def _members(self) -> str:
        negated = self._peek() == "^"
        self.at += negated
        members = ""
        while (taken := self._take()) != "]" or not members:
            if taken == "\\":
                members += self._escaped()
            elif self._peek() == "-" and self._pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                members += "".join(map(chr, range(ord(taken), ord(self._take()) + 1)))
            else:
                members += taken
        return "".join(c for c in _ANY + " " if c not in members) if negated else members

    def _times(self) -> int:
        mark = self._peek()
        if mark and mark in "*+?":
            self.at += 1
            low, high = {"*": (0, _MOST), "+": (1, _MOST), "?": (0, 1)}[mark]
        elif mark == "{":
            end = self._pattern.index("}", self.at)
            first, comma, last = self._pattern[self.at + 1 : end].partition(",")
            self.at = end + 1
            low = int(first or 0)
            high = low if not comma else int(last) if last else low + _MOST
        else:
            return 1
        return self._rng.randint(low, high)
