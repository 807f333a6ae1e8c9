r"""Answers in a LaTeX box: finding ``\boxed{...}`` and taking ``\text{...}`` off its content.

Braces are counted, so ``\boxed{\frac{1}{2}}`` yields ``\frac{1}{2}``. A brace counts whether or not
a backslash stands before it, which keeps ``\boxed{\{1, 2\}}`` whole. Every function takes time
linear in the length of the text and raises nothing, whatever the text.
"""

import re

__all__ = ["all_boxed", "last_boxed", "unwrap_text"]

_TOKEN = re.compile(r"\\boxed\{|[{}]")
_BOX = r"\boxed{"
_TEXT = r"\text{"


def last_boxed(text: str, *, skip_unclosed: bool = True) -> str | None:
    r"""Content of the last ``\boxed{...}``, or None when there is none.

    "Last" is by where a box opens: of nested boxes that is the inner one. The content is returned
    as it stands, spaces included; an empty box gives ``""``.

    Args:
        text: Anything a model may have written.
        skip_unclosed: Whether a box that is never closed (a truncated answer) gives way to the one
            before it. If false, an unclosed last box means that there is no answer.
    """
    closers: list[int] = []  # closing braces right of the scan that have no partner yet
    for token in reversed(list(_TOKEN.finditer(text))):
        if token.group() == "}":
            closers.append(token.start())
        elif token.group() == _BOX:
            if closers:
                return text[token.end() : closers[-1]]
            if not skip_unclosed:
                return None
        elif closers:
            closers.pop()
    return None


def all_boxed(text: str) -> list[str]:
    r"""Contents of all closed ``\boxed{...}``, in the order in which they open.

    A box inside another box belongs to the content of the outer one and is not listed by itself.
    """
    spans: list[tuple[int, int]] = []
    openers: list[int] = []  # where a box's content starts, -1 for a plain brace
    for token in _TOKEN.finditer(text):
        if token.group() == _BOX:
            openers.append(token.end())
        elif token.group() == "{":
            openers.append(-1)
        elif openers:
            start = openers.pop()
            if start >= 0:
                spans.append((start, token.start()))
    contents: list[str] = []
    covered = 0
    for start, end in sorted(spans):
        if start >= covered:
            contents.append(text[start:end])
            covered = end + 1
    return contents


def unwrap_text(content: str) -> str:
    r"""Take ``\text{...}`` off, again and again, together with the spaces inside its braces.

    Only a wrapper around everything counts: the content has to start with ``\text{`` and to end
    with ``}``. As in the verifiers this serves, those two are not checked for being a pair; spaces
    outside the outermost wrapper are the caller's to strip.
    """
    start, end = 0, len(content)
    while end - start > len(_TEXT) and content.startswith(_TEXT, start) and content[end - 1] == "}":
        start, end = start + len(_TEXT), end - 1
        while start < end and content[start].isspace():
            start += 1
        while start < end and content[end - 1].isspace():
            end -= 1
    return content[start:end]
