"""Data in a text, and which paths it has: the scoring of StructEval for formats without a picture.

The semantics are those of NeMo Gym's ``structeval`` verifier, after TIGER-Lab's StructEval. XML
needs the extra ``structured`` (xmltodict).
"""

import codecs
import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from athlos.scoring.data_formats import DataFormat, parse_data

__all__ = ["PathVerdict", "extract_block", "has_path", "score_paths"]

_FENCED = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_BEGUN = re.compile(
    r"<\|BEGIN_CODE\|>[ \t]*\n?(.*?)(?:<\|END_CODE\|>|\Z)", re.DOTALL | re.IGNORECASE
)
_PARSED, _FOUND = 0.2, 0.8
_CSV = "csv::"


class PathVerdict(NamedTuple):
    """What was found."""

    score: float
    parsed: float
    """1.0 if the data parses."""
    found: float
    """Share of the paths that it has."""
    error: str
    """Why it does not parse; "" if it does."""


def extract_block(text: str) -> str:
    """The last fenced block, else what stands between BEGIN_CODE and END_CODE, else everything.

    A block that is not closed reaches to the end. Escape sequences are read first, as published.
    """
    text = _unescaped(text)
    blocks = _FENCED.findall(text) or _BEGUN.findall(text) or [text]
    return str(blocks[-1]).strip()


def _unescaped(text: str) -> str:
    text = text.replace("&lt;", "<").replace("&gt;", ">")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that are none stay as they are
        try:
            return codecs.decode(text, "unicode_escape")
        except (ValueError, TypeError):
            return text


def score_paths(
    text: str, output_type: str, paths: Sequence[str], *, needs_paths: bool = False
) -> PathVerdict:
    """0.2 for data that parses, and 0.8 times the share of the paths that it has; two decimals.

    Args:
        text: The answer; an empty one earns 0.0.
        output_type: json, yaml, toml, xml or csv.
        paths: What the data must have: see `has_path`.
        needs_paths: Whether data that has none of the paths earns nothing: any text at all is YAML,
            and CSV.

    Raises:
        ImportError: xmltodict is not installed.
    """
    if not text.strip():
        return PathVerdict(0.0, 0.0, 0.0, "empty_response")
    try:
        data = _data(extract_block(text), output_type.lower())
    except (ValueError, csv.Error) as error:
        return PathVerdict(0.0, 0.0, 0.0, f"parse_error: {error}"[:200])
    if not data:
        return PathVerdict(0.0, 0.0, 0.0, "parse_error: there is no data")
    found = sum(has_path(data, path) for path in paths) / len(paths) if paths else 0.0
    if needs_paths and not found:
        return PathVerdict(0.0, 1.0, 0.0, "")
    return PathVerdict(round(_PARSED + _FOUND * found, 2), 1.0, found, "")


def _data(block: str, output_type: str) -> Any:
    if output_type != "csv":
        return parse_data(block, cast(DataFormat, output_type))
    reader = csv.DictReader(io.StringIO(block))
    return {"csv_headers": reader.fieldnames, "csv_rows": list(reader)}


def has_path(data: Any, path: str) -> bool:
    """Whether data has a path such as ``a.b[0].*.c``.

    Names are divided by full stops, unless backticks enclose them; ``[0]`` is an item of a list and
    ``*`` any; ``@id`` is an attribute of XML, or the name without the sign; ``csv::Name`` is a
    column. A path that cannot be read is not there.
    """
    steps = [path] if path.startswith(_CSV) else list(_steps(path))
    nodes = [data]
    for number, step in enumerate(steps):
        nodes = [
            child for node in nodes for child in _children(node, step, number + 1 == len(steps))
        ]
    return bool(nodes)


def _steps(path: str) -> Iterator[str]:
    for match in re.finditer(r"\[[^\]]*(?:\]|\Z)|(?:`[^`]*(?:`|\Z)|[^.\[`])+", path):
        step = match.group()
        yield step if step.startswith("[") else step.replace("`", "")


def _children(node: Any, step: str, is_last: bool) -> Iterator[Any]:
    if isinstance(node, dict) and step.startswith(_CSV) and "csv_headers" in node:
        if is_last and step.removeprefix(_CSV) in (node["csv_headers"] or ()):
            yield None
    elif step == "*":
        yield from node if isinstance(node, list) else ()
    elif step.startswith("["):
        index = step[1:-1].strip()
        if isinstance(node, list) and index.isdecimal() and step.endswith("]"):
            yield from node[int(index) : int(index) + 1]
    elif isinstance(node, dict):
        name = step if step in node else step.removeprefix("@")
        if name in node:
            yield node[name]
