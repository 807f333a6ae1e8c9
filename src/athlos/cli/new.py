"""`athlos new`: the beginning of an environment, with a test that passes."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

import click

from athlos.errors import ConfigError

_TEMPLATES = Path(__file__).parent / "template"

_EPILOG = """\b
Examples:
  athlos new my_env
  athlos run ./my_env --model local --limit 5
"""


@click.command("new", epilog=_EPILOG)
@click.argument("name", metavar="NAME")
def command(name: str) -> None:
    """Write an environment that runs, with a README and a test, into a new folder NAME."""
    folder = Path(name)
    stem = folder.name
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", stem) or keyword.iskeyword(stem):
        raise ConfigError(
            f"{stem!r} cannot be a Python package", hint="Use letters, digits and underscores."
        )
    if folder.exists():
        raise ConfigError(f"{folder} exists already", hint="Choose another name.")
    words = {
        "name": stem,
        "folder": str(folder),
        "title": stem.replace("_", " ").strip().capitalize() or stem,
        "cls": "".join(part.capitalize() for part in stem.split("_") if part) or "Env",
    }
    targets = {
        "__init__.py": "__init__.py",
        "README.md": "README.md",
        "test_env.py": f"test_{stem}.py",
    }
    try:
        folder.mkdir(parents=True)
        for source, target in targets.items():
            text = (_TEMPLATES / f"{source}.txt").read_text()
            (folder / target).write_text(Template(text).substitute(words))
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error
    click.echo(f"wrote {', '.join(str(folder / target) for target in targets.values())}")
    path = folder if folder.is_absolute() else f"./{folder}"
    click.echo(f"try:  athlos show {path}")
    click.echo(f"      athlos run {path} --model local --limit 5")
    click.echo(f"      pytest {folder}")
