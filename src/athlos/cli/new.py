"""`athlos new`: the beginning of an environment, with a test that passes."""

from __future__ import annotations

import builtins
import keyword
import re
import shlex
import sys
from pathlib import Path
from string import Template

import click

import athlos
from athlos.errors import ConfigError

_TEMPLATES = Path(__file__).parent / "template"

_EPILOG = """\b
Examples:
  athlos new my_env
  athlos run ./my_env --model local --limit 5

\b
  athlos new my_env --package
  pip install -e ./my_env
  athlos run my_env --model local --limit 5
"""

_FOLDER = {
    "__init__.py": "__init__.py",
    "README.md": "README.md",
    "test_env.py": "test_$name.py",
}
_PACKAGE = {
    "pyproject.toml": "pyproject.toml",
    "__init__.py": "src/$name/__init__.py",
    "package_README.md": "README.md",
    "package_test_env.py": "tests/test_$name.py",
}
"""Template -> the file that it becomes."""


@click.command("new", epilog=_EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--package", "as_package", is_flag=True, help="A package that pip installs.")
def command(name: str, as_package: bool) -> None:
    """Write an environment that runs, with a README and a test, into a new folder NAME."""
    folder = Path(name)
    stem = folder.name
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", stem) or keyword.iskeyword(stem):
        raise ConfigError(
            f"{stem!r} cannot be a Python package", hint="Use letters, digits and underscores."
        )
    if stem == "athlos" or stem in sys.stdlib_module_names:
        raise ConfigError(
            f"a package {stem!r} would hide the one that Python knows by this name",
            hint=f"Choose another name, {stem}_env for example.",
        )
    if as_package and stem in _library_names():
        raise ConfigError(
            f"the library has an environment {stem!r}, which would come before that of a package",
            hint=f"Choose another name, my_{stem} for example.",
        )
    if folder.exists():
        raise ConfigError(f"{folder} exists already", hint="Choose another name.")
    words = {
        "name": stem,
        "folder": str(folder),
        "title": stem.replace("_", " ").strip().capitalize() or stem,
        "cls": _class_name(stem),
        "distribution": stem.replace("_", "-").strip("-").lower(),
        "athlos": athlos.__version__,
    }
    templates = _PACKAGE if as_package else _FOLDER
    targets = {
        source: folder / Template(path).substitute(words) for source, path in templates.items()
    }
    try:
        for source, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            text = (_TEMPLATES / f"{source}.txt").read_text()
            target.write_text(Template(text).substitute(words))
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error
    click.echo(f"wrote {', '.join(map(str, targets.values()))}")
    path = shlex.quote(str(folder) if folder.is_absolute() else f"./{folder}")
    if as_package:
        click.echo(f"try:  pip install -e {path}")
        click.echo(f"      athlos show {stem}")
        click.echo(f"      athlos run {stem} --model local --limit 5")
    else:
        click.echo(f"try:  athlos show {path}")
        click.echo(f"      athlos run {path} --model local --limit 5")
    click.echo(f"      pytest {shlex.quote(str(folder))}")


def _library_names() -> set[str]:
    from athlos.registry import listing

    library = (one for one in listing() if one.source == "library")
    return {name for one in library for name in (one.name, *one.aliases)}


def _class_name(stem: str) -> str:
    """`my_env` -> `MyEnv`; `task` -> `TaskEnv`, as the template needs `Task` for something else."""
    name = "".join(part.capitalize() for part in stem.split("_"))
    if not name.isidentifier():
        name = f"Env{name}"
    taken = keyword.iskeyword(name) or hasattr(builtins, name) or hasattr(athlos, name)
    return f"{name}Env" if taken or name == "Iterator" else name
