"""Writes the table of the library into docs/environments/library.md; `--check` only compares.

.venv/bin/python scripts/library.py
"""

from __future__ import annotations

import re
import sys
import typing
from pathlib import Path

import athlos
from athlos.envs.single_step import SingleStep
from athlos.registry import Listed, listing

PAGE = Path(__file__).parent.parent / "docs" / "environments" / "library.md"
ENVS = Path(athlos.__file__).parent / "envs"
BEGIN = "<!-- made by scripts/library.py -->\n"
END = "<!-- until here -->\n"
HEAD = """\
| name | what it is about | tools | tasks | rewards | needs | licence |
|---|---|---|---|---|---|---|
"""


def main() -> int:
    """Writes the page, or says whether it is up to date."""
    text = PAGE.read_text()
    made = page(text)
    if "--check" in sys.argv[1:]:
        return int(text != made)
    PAGE.write_text(made)
    return 0


def page(text: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def table() -> str:
    """All environments of the library, one a line."""
    entries = [entry for entry in listing() if entry.source == "library"]
    return HEAD + "".join(f"| {' | '.join(row(entry))} |\n" for entry in entries)


def row(entry: Listed) -> list[str]:
    """The cells of an environment."""
    env = athlos.load(entry.name)
    readme = (ENVS / entry.name / "README.md").read_text()
    names = [f"`{entry.name}`", *(f"alias `{alias}`" for alias in entry.aliases)]
    needs = re.findall(r"athlos\[([\w-]+)\]", _bullet(readme, "Needs"))
    licence = re.match(r"[\w.+-]*\w", _bullet(readme, "Licence"))
    summary = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", entry.summary)
    cells = [
        ", ".join(names), summary.rstrip("."), _tools(env), _tasks(env, readme),
        _rewards(env), ", ".join(f"`{extra}`" for extra in needs), licence[0] if licence else "",
    ]  # fmt: skip
    return [cell.replace("|", "\\|") for cell in cells]


def _bullet(readme: str, name: str) -> str:
    """What follows a word in bold, without the spaces and the colon."""
    return readme.partition(f"**{name}**")[2].lstrip(": \n")


def _tools(env: type[athlos.Environment]) -> str:
    if issubclass(env, SingleStep):
        return "of the task"
    names = [f"`{name}`" for name in env.tools]
    return ", ".join(names) if len(names) <= 2 else f"{len(names)}: {names[0]}, ..."


def _tasks(env: type[athlos.Environment], readme: str) -> str:
    made = "generated" if "generated" in readme else "data set"
    source = typing.get_type_hints(env.Config).get("source")
    others = [str(value) for value in typing.get_args(source) if value != "generated"]
    return ", ".join([made, *(f"`{other}`" for other in others)])


def _rewards(env: type[athlos.Environment]) -> str:
    return ", ".join(
        f"`{scorer.name}`{' (process)' if scorer.process else ''}"
        for scorer in env.scorers
        if scorer.kind != "metric"
    )


if __name__ == "__main__":
    raise SystemExit(main())
