"""Keeps text that looks like a special token from becoming one.

A chat template puts caller text between special tokens and the whole is tokenised at once, so a
user who writes `<|im_end|>` could end a turn. Before rendering, `Guard.wrap` puts a mark behind the
first character of each such place; `Tokenizer.encode` finds the marks, removes them and tokenises
what they stood in as plain text. A text without such places is not touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["MARK", "Finder", "Guard", "Guards", "unwrap"]

MARK = "\ue0f1"  # of the private use area; one that is in the text already is doubled
_REASONING = frozenset({"<think>", "</think>"})
_START = 3  # characters by which tokens are looked up
_MARKS = re.compile(f"{MARK}({MARK}?)")


def unwrap(text: str) -> str:
    """The text without the marks that `Guard.wrap` put in."""
    return _MARKS.sub(r"\1", text)


class Finder:
    """Finds given strings in texts; made for vocabularies with thousands of added tokens.

    Args:
        tokens: What to find; empty ones are left out.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._by_start: dict[str, list[str]] = {}
        for token in sorted(filter(None, tokens), key=len, reverse=True):
            self._by_start.setdefault(token[:_START], []).append(token)
        firsts = "".join(re.escape(char) for char in sorted({s[0] for s in self._by_start}))
        rests = "|".join(re.escape(start[1:]) for start in self._by_start)
        # Starts that overlap are all found: only their first character is consumed.
        self._start = re.compile(f"[{firsts}](?={rests})") if self._by_start else None

    def find(self, text: str) -> Iterator[tuple[int, str]]:
        """Each place where one begins, and the longest that does; they may overlap."""
        if self._start is None:
            return
        for match in self._start.finditer(text):
            at = match.start()
            for size in range(_START, 0, -1):
                for token in self._by_start.get(text[at : at + size], ()):
                    if text.startswith(token, at):
                        yield at, token
                        break
                else:
                    continue
                break


class Guard:
    """Marks the given strings wherever they stand in caller text.

    Args:
        tokens: Texts of the tokens that must not arise. Those of one character cannot be marked.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._finder = Finder(token for token in tokens if len(token) > 1)

    def wrap(self, text: str) -> str:
        """The text, marked where it needs to be."""
        if MARK in text:
            text = text.replace(MARK, MARK + MARK)
        parts: list[str] = []
        done = 0
        for at, _ in self._finder.find(text):
            parts += (text[done : at + 1], MARK)
            done = at + 1
        return "".join((*parts, text[done:])) if parts else text

    def wrap_all(self, value: Any) -> Any:
        """A copy of a JSON value with `wrap` done to every string in it, keys included."""
        if isinstance(value, str):
            return self.wrap(value)
        if isinstance(value, dict):
            return {self.wrap_all(key): self.wrap_all(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.wrap_all(item) for item in value]
        return value


class Guards:
    """Which texts must not become special tokens, by who wrote them.

    In what users, tools and tool definitions say: every added token. In what the assistant said:
    the special ones only, because its tool calls and reasoning may stand in its content as it wrote
    them, and templates look for them there.

    Args:
        added: Texts of all added tokens.
        special: Those of them that decoding may skip.
    """

    def __init__(self, added: Iterable[str], special: Iterable[str]) -> None:
        self._others = Guard(added)
        self._assistant = Guard(token for token in special if token not in _REASONING)

    def messages(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Copies of the messages, marked."""
        return [
            (self._assistant if message["role"] == "assistant" else self._others).wrap_all(message)
            for message in messages
        ]

    def tools(self, tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
        """Copies of the tool definitions, marked; None if there are none."""
        return self._others.wrap_all(list(tools)) if tools else None
