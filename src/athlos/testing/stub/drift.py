"""Samples that do not come back as they were when their conversation is rendered again.

Each kind of drift happens at a real server: the sample differs from what tokenizer and template
make of its text, or the template leaves something out. Nothing is faked in the reply: what it says
was sampled, and the next prompt is what the template gives.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Collection
from typing import Any

from athlos.errors import ConfigError
from athlos.testing.stub.tokenizer import ChatTokenizer

__all__ = ["DRIFTS", "Drift"]

DRIFTS = {
    "merge": "some tokens are sampled in two parts that the tokenizer would merge",
    "tool_rerender": "arguments are sampled with other spaces than the template writes",
    "drop_reasoning": "each turn has reasoning, and the template drops that of earlier turns",
    "newline": "tool calls are sampled with a line break behind them that the template leaves out",
    "truncate_eos": "samples end by length, just before the token that ends the turn",
}

_CALL = re.compile(r"(<tool_call>\n?)(.*?)(\n?</tool_call>)", re.DOTALL)
_THOUGHT = re.compile(r".*?</think>\s*", re.DOTALL)
_SHARE = 0.15  # of tokens that are split


class Drift:
    """The kinds of drift that are switched on.

    Args:
        kinds: Keys of `DRIFTS`.
        tokenizer: The server's.

    Raises:
        ConfigError: There is no such kind.
    """

    def __init__(self, kinds: Collection[str], tokenizer: ChatTokenizer) -> None:
        unknown = sorted(set(kinds) - set(DRIFTS))
        if unknown:
            raise ConfigError(
                f"unknown drift {unknown[0]!r}", hint=f"there are: {', '.join(DRIFTS)}"
            )
        self._kinds = frozenset(kinds)
        self._tokenizer = tokenizer

    @property
    def truncates(self) -> bool:
        """Whether samples lack the token that ends the turn."""
        return "truncate_eos" in self._kinds

    def text(self, text: str) -> str:
        """What the model writes instead of `text`."""
        if "drop_reasoning" in self._kinds and "</think>" not in text:
            text = f"<think>\nLet me see.\n</think>\n\n{text}"
        if "tool_rerender" in self._kinds:
            text = _CALL.sub(lambda found: found[1] + _spaced(found[2]) + found[3], text)
        if "newline" in self._kinds and text.endswith("</tool_call>"):
            text += "\n"
        return text

    def ids(self, ids: list[int], rng: random.Random) -> list[int]:
        """What the model samples instead of `ids`."""
        if "merge" not in self._kinds:
            return ids
        parts = [self._halves(at) for at in ids]
        chosen = {place for place, part in enumerate(parts) if part and rng.random() < _SHARE}
        last = max((place for place, part in enumerate(parts) if part), default=None)
        if last is not None:  # in what is rendered again, whatever becomes of the reasoning
            chosen.add(last)
        return [
            new
            for place, at in enumerate(ids)
            for new in (parts[place] if place in chosen else (at,))
        ]

    def messages(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages that the template looks at."""
        if "drop_reasoning" not in self._kinds:
            return messages
        return [_without_reasoning(message) for message in messages]

    def _halves(self, at: int) -> tuple[int, ...]:
        """Two ids with the text of one, or nothing."""
        if at in self._tokenizer.added:
            return ()
        symbol = self._tokenizer.symbol(at)
        for cut in range(len(symbol) - 1, 0, -1):
            first = self._tokenizer.id_of(symbol[:cut])
            second = self._tokenizer.id_of(symbol[cut:])
            if first is not None and second is not None:
                return first, second
        return ()


def _spaced(call: str) -> str:
    """The same JSON with other spaces."""
    try:
        value = json.loads(call)
    except ValueError:
        return call
    return json.dumps(value, ensure_ascii=True, separators=(",", ":  "))


def _without_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("role") != "assistant":
        return message
    kept = {k: v for k, v in message.items() if k not in ("reasoning", "reasoning_content")}
    if isinstance(kept.get("content"), str):
        kept["content"] = _THOUGHT.sub("", kept["content"], count=1)
    return kept
