"""Which of a harness's calls belong together, and which conversation is the main one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from athlos.types import Call, Message

__all__ = ["Threads", "read_messages"]


def read_messages(given: Any) -> list[Message] | None:
    """A harness's messages as ours; None if they are too unlike.

    Fields that a `Message` does not have are left out; the call's `request` keeps them.
    """
    try:
        messages = msgspec.convert(given, list[Message])
    except (msgspec.ValidationError, RecursionError):
        return None
    for message, wire in zip(messages, given, strict=True):
        if message.role == "assistant" and message.reasoning_content is None:
            thought = wire.get("reasoning")  # newer vLLM's name
            if isinstance(thought, str):
                message.reasoning_content = thought
    return messages


class _Thread(Struct):
    prompt: list[Message]
    reply: Message
    calls: list[Call]
    last: int
    grew: bool = False


class Threads:
    """The conversations of one rollout, as far as their calls show them.

    A call goes on with the conversation whose last prompt its own prompt begins with; what the
    harness made of the reply in between does not matter.
    """

    def __init__(self) -> None:
        self._threads: list[_Thread] = []
        self._count = 0

    def add(self, prompt: list[Message], reply: Message, call: Call) -> None:
        """Takes a complete call."""
        self._count += 1
        best: _Thread | None = None
        for thread in self._threads:
            length = len(thread.prompt)
            longer = best is None or length >= len(best.prompt)
            if length <= len(prompt) and longer and prompt[:length] == thread.prompt:
                best = thread
        if best is None:
            self._threads.append(_Thread(prompt, reply, [call], self._count))
            return
        best.grew = best.grew or len(prompt) > len(best.prompt)
        best.prompt, best.reply, best.last = prompt, reply, self._count
        best.calls.append(call)

    def main(self) -> tuple[Sequence[Message], Sequence[Call]]:
        """The main conversation with its last reply, and the calls that made it.

        It is the one that was spoken in last; but a conversation of one turn (a harness asks for a
        title, or a summary) counts only if there is none of several.
        """
        if not self._threads:
            return (), ()
        several = [thread for thread in self._threads if thread.grew]
        if several:
            main = max(several, key=lambda thread: thread.last)
        else:
            main = max(self._threads, key=lambda thread: (len(thread.prompt), thread.last))
        return [*main.prompt, main.reply], main.calls
