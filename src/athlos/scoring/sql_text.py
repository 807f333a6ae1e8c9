"""SQL queries in the text of an answer, by two rules; each takes time linear in the text.

Source of the rules: NeMo Gym's environments ``bird_sql`` (which follows the evaluator of NeMo
Skills) and ``spider2_lite`` (which follows that of Spider 2.0).
"""

import re
from typing import NamedTuple

__all__ = ["NO_QUERY", "FencedQuery", "fenced_query", "find_query"]

NO_QUERY = "SELECT 1"
"""What stands for the query of an answer that has none."""

_FENCE = "```"
_OPEN = "```sql"
_LETTER = re.compile(r"[a-zA-Z]")
_SPACES = re.compile(r"\s+")
_HEADING = re.compile(r"\*\*.*\*\*")
_ANY_OPEN = re.compile(_OPEN, re.IGNORECASE)
_BLOCK_START = re.compile(
    r"(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP)\s", re.IGNORECASE
)
_START = re.compile(r"(?:SELECT|INSERT|UPDATE|DELETE|WITH)\s", re.IGNORECASE)


class FencedQuery(NamedTuple):
    """The query of an answer, and whether there was a block with one."""

    sql: str
    fenced: bool


def fenced_query(text: str) -> FencedQuery:
    """The last block that is fenced with three backticks and ``sql``, and has a letter.

    Comments are taken out: ``--`` reaches to the end of the block, not of its line, also within a
    literal. White space becomes single spaces, and a heading in two pairs of asterisks at the
    start goes. Without a block, the query is `NO_QUERY`.
    """
    block: str | None = None
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        start += len(_OPEN)
        letter = _LETTER.search(text, start)
        end = -1 if letter is None else text.find(_FENCE, letter.end())
        if end < 0:
            break
        block, position = text[start:end], end + len(_FENCE)
    if block is None:
        return FencedQuery(NO_QUERY, False)
    line = _SPACES.sub(" ", _without_comments(block))
    heading = _HEADING.match(line)
    return FencedQuery((line[heading.end() :] if heading else line).strip(), True)


def _without_comments(sql: str) -> str:
    kept: list[str] = []
    position = 0
    dashes = sql.find("--")
    while True:
        opened = sql.find("/*", position)
        if dashes >= 0 and dashes < position:
            dashes = sql.find("--", position)
        closed = -1
        if opened >= 0 and (dashes < 0 or opened < dashes):
            closed = sql.find("*/", opened + 2)
        if closed < 0:  # a comment that is never closed is none
            return "".join(kept) + (sql[position:] if dashes < 0 else sql[position:dashes])
        kept.append(sql[position:opened])
        position = closed + 2


def find_query(text: str) -> str | None:
    """The query in a text; None if there is none.

    It is the last block that is fenced with three backticks and ``sql`` in any case; else the last
    fenced block that begins with a verb of SQL; else what stands from the first such verb up to the
    last semicolon, or to the end.
    """
    blocks = _blocks(text, _ANY_OPEN)
    if blocks:
        return blocks[-1] or None
    for block in reversed(_blocks(text, re.compile(_FENCE))):
        if _BLOCK_START.match(block):
            return block
    found = _START.search(text)
    if found is None:
        return None
    end = text.rfind(";")
    query = text[found.start() : end + 1] if end >= found.start() else text[found.start() :]
    return query.strip().rstrip(";") + ";"


def _blocks(text: str, opening: re.Pattern[str]) -> list[str]:
    found: list[str] = []
    position = 0
    while (start := opening.search(text, position)) is not None:
        end = text.find(_FENCE, start.end())
        if end < 0:
            break
        found.append(text[start.end() : end].strip())
        position = end + len(_FENCE)
    return found
