"""Grids of integers in answers, as ARC has them; the rules are those of NeMo Gym's verifiers."""

import json
import re
from collections.abc import Iterator

__all__ = ["Grid", "read_grid", "read_text_grid"]

Grid = list[list[int]]

_BOX = r"\boxed{"
_RUN = re.compile(r"[\d\s,\[\]]+")
_OPENS = re.compile(r"\[\s*\[")
_CLOSES = re.compile(r"\]\s*\]")
_SPACE = re.compile(r"\s+")
_SIGNS = re.compile(r"[^\s\w]+")
_WORD = re.compile(r"\w+")


def read_grid(text: str) -> Grid | None:
    """The first grid ``[[1, 2], [3, 4]]`` that stands in a box, else the first anywhere.

    Where there are boxes with something like a grid in them, only they are looked at. A grid that
    does not parse, or has no cell in its first row, gives way to the next.
    """
    found = list(_boxed(text)) or list(_bare(text))
    return next((grid for one in found if (grid := _parse(one)) is not None), None)


def _boxed(text: str) -> Iterator[str]:
    start = -1
    while (start := text.find(_BOX, start + 1)) >= 0:
        run = _RUN.match(text, start + len(_BOX))
        if run is None or text[run.end() : run.end() + 1] != "}":
            continue
        content = run.group()
        if _OPENS.match(content) and content.endswith("]") and _CLOSES.search(content):
            yield content


def _bare(text: str) -> Iterator[str]:
    for run in _RUN.finditer(text):
        content = run.group()
        opening = _OPENS.search(content)
        if opening is None:
            continue
        closings = list(_CLOSES.finditer(content, opening.end()))
        if closings:
            yield content[opening.start() : closings[-1].end()]


def _parse(text: str) -> Grid | None:
    try:
        grid = json.loads(_SPACE.sub("", text))
    except (ValueError, RecursionError):
        return None
    if not isinstance(grid, list) or not all(isinstance(row, list) for row in grid):
        return None
    cells = all(isinstance(cell, int) for row in grid for cell in row)
    return grid if cells and grid and grid[0] else None


def read_text_grid(text: str) -> Grid | None:
    r"""A grid written as lines of single digits, in a box or as the whole text.

    The box reaches from the first ``\boxed{`` to the last brace. Signs are dropped, and so are
    words that are no single digit; lines on which nothing is left do not count; all others must be
    of one length.
    """
    start = text.find(_BOX)
    end = text.rfind("}")
    if 0 <= start < end:
        text = text[start + len(_BOX) : end]
    plain = _SIGNS.sub("", text)
    grid: Grid = []
    for line in plain.split("\n"):
        row = [int(word) for word in _WORD.findall(line) if len(word) == 1 and word in "0123456789"]
        if row:
            grid.append(row)
    return grid if grid and all(len(row) == len(grid[0]) for row in grid) else None
