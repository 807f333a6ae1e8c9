"""What a Dockerfile does, as far as a sandbox without images can do it as well.

The rules of the format are those of the Dockerfile reference: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import fnmatch
import json
import posixpath
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

__all__ = ["Copy", "Recipe", "Run", "Unfit", "read"]

_BASES = re.compile(
    r"(?:(?:docker\.io/)?(?:library/)?(?:python|debian|ubuntu)"
    r"|ghcr\.io/laude-institute/t-bench/(?:python|ubuntu)-[\w.-]+)"
    r"(?::[\w.-]+)?(?:@sha256:[0-9a-f]+)?"
)
_RUNS = frozenset({"chmod", "cp", "ln", "mkdir", "mv", "rm", "touch"})
_SHELL = re.compile(r"[;|<>$`(){}*?\[\]~!\\\n]|(?<!&)&(?!&)")
_IGNORED = frozenset(
    {"CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "STOPSIGNAL", "USER"}
)
_OF_THE_SYSTEM = frozenset(
    {"bin", "box", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "proc", "run",
     "sbin", "sys", "tmp", "usr", "var"}
)  # fmt: skip
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


class Unfit(Exception):
    """A Dockerfile needs more than such a sandbox has; the text says what, and in which line."""


class Copy(NamedTuple):
    """Files to copy: path in the image -> file of the build context."""

    files: dict[str, Path]
    mode: int | None


class Run(NamedTuple):
    """A program to run, and where."""

    argv: list[str]
    cwd: str


class Recipe(Struct):
    """What to do in an empty sandbox.

    Attributes:
        workdir: Where programs start.
        env: Environment variables.
        folders: Folders that must be there.
        steps: What to copy and to run, in this order.
    """

    workdir: str = "/"
    env: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    steps: list[Copy | Run] = field(default_factory=list)

    def paths(self) -> list[str]:
        """The absolute paths that the recipe names."""
        found = [self.workdir, *self.folders]
        for step in self.steps:
            words = step.files if isinstance(step, Copy) else step.argv
            found += [word for word in words if word.startswith("/")]
        return found


def read(text: str, context: Path) -> Recipe:
    """The recipe of a Dockerfile.

    Args:
        text: Of the file.
        context: The folder that it copies from.

    Raises:
        Unfit: It needs an image.
    """
    if re.match(r"#\s*escape\s*=", text, re.IGNORECASE):
        raise Unfit("line 1: another escape character")
    recipe, known, based = Recipe(), dict[str, str](), False
    for number, line in _lines(text):
        name, _, rest = line.partition(" ")
        name, rest = name.upper(), rest.strip()
        try:
            if name == "FROM":
                if based:
                    raise Unfit("a second FROM")
                if not _BASES.fullmatch(rest.split(" ")[0]):
                    raise Unfit(f"FROM {rest}, an image with contents of its own")
                based = True
            elif name in ("ARG", "ENV"):
                found = _pairs(rest, known, name == "ARG")
                known |= found
                recipe.env |= found if name == "ENV" else {}
            elif name in ("WORKDIR", "VOLUME"):
                places = [rest] if name == "WORKDIR" else _words(rest)
                for place in places:
                    recipe.folders.append(_path(_expand(place, known), recipe.workdir))
                if name == "WORKDIR":
                    recipe.workdir = recipe.folders[-1]
            elif name in ("COPY", "ADD"):
                recipe.steps.append(_copy(rest, known, recipe.workdir, context, name))
            elif name == "RUN":
                recipe.steps += _run(rest, recipe.workdir)
            elif name not in _IGNORED:
                raise Unfit(name)
        except Unfit as unfit:
            raise Unfit(f"line {number}: {unfit}") from None
        except ValueError as error:
            raise Unfit(f"line {number}: {name} cannot be read: {error}") from None
    if not based:
        raise Unfit("no FROM")
    return recipe


def _lines(text: str) -> list[tuple[int, str]]:
    """Instructions with the number of their first line; continued lines are one."""
    found: list[tuple[int, str]] = []
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        first = first if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            found.append((first, " ".join(parts)))
            parts = []
    return [*found, (first, " ".join(parts))] if parts else found


def _expand(text: str, known: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in known:
            raise Unfit(f"the variable {name} of the image")
        return known[name]

    text = _VARIABLE.sub(value, text)
    if "$" in text:
        raise Unfit(f"the substitution in {text}")
    return text


def _pairs(rest: str, known: dict[str, str], is_arg: bool) -> dict[str, str]:
    words = shlex.split(rest)
    if not words:
        raise ValueError("there is nothing in it")
    if not is_arg and "=" not in words[0]:  # ENV NAME the rest
        return {words[0]: _expand(rest.split(None, 1)[1], known)}
    pairs = [word.partition("=") for word in words]
    return {name: _expand(value, known) for name, equals, value in pairs if equals}


def _words(rest: str) -> list[str]:
    if rest.startswith("["):
        words = json.loads(rest)
        if not all(isinstance(word, str) for word in words):
            raise ValueError(rest)
        return list(words)
    return shlex.split(rest)


def _path(place: str, workdir: str) -> str:
    """An absolute path in the image that a sandbox has room for."""
    path = posixpath.normpath(posixpath.join(workdir, place))
    path = "/" + path.lstrip("/")
    if path.split("/")[1] in _OF_THE_SYSTEM:
        raise Unfit(f"the folder {path} of the system")
    return path


def _copy(rest: str, known: dict[str, str], workdir: str, context: Path, name: str) -> Copy:
    mode = None
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        rest = rest.strip()
        option, _, value = flag.partition("=")
        if option == "--chmod":
            mode = int(value, 8)
        elif option not in ("--chown", "--link"):
            raise Unfit(f"{name} {flag}")
    *sources, target = (_expand(word, known) for word in _words(rest))
    if not sources or any(source.startswith("<<") for source in sources):
        raise Unfit(f"{name} {rest}")
    if (context / ".dockerignore").exists():
        raise Unfit(f"{name} with a .dockerignore")
    if name == "ADD" and any(
        "://" in s or re.search(r"\.(tar|tgz|t?[xg]z|bz2)", s) for s in sources
    ):
        raise Unfit(f"ADD {rest}")
    files: dict[str, Path] = {}
    into = target.endswith("/") or target in (".", "..") or len(sources) > 1
    where = _path(target, workdir)
    for source in sources:
        found = _matching(context, source)
        if not found:
            raise ValueError(f"there is no {source}")
        for path in found:
            if path.is_dir():
                for file in sorted(path.rglob("*")):
                    if file.is_file():
                        files[posixpath.join(where, file.relative_to(path).as_posix())] = file
            else:
                inside = into or len(found) > 1 or where == workdir
                files[posixpath.join(where, path.name) if inside else where] = path
    for place, file in files.items():
        _path(place, "/")
        if not file.resolve().is_relative_to(context.resolve()):
            raise Unfit(f"{file.name}, a link out of the folder")
    return Copy(files, mode)


def _matching(context: Path, source: str) -> list[Path]:
    parts = [part for part in source.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Unfit(f"{source}, outside the folder")
    found = [context]
    for part in parts:
        found = [
            child
            for folder in found
            if folder.is_dir()
            for child in sorted(folder.iterdir())
            if fnmatch.fnmatchcase(child.name, part)
        ]
    return found


def _run(rest: str, workdir: str) -> list[Run]:
    """Simple programs for files, joined with `&&`; all else may need the image or the network."""
    if rest.startswith("[") or _SHELL.search(rest):
        raise Unfit(f"RUN {rest}")
    found = []
    for part in rest.split("&&"):
        argv = shlex.split(part)
        if not argv or argv[0] not in _RUNS:
            raise Unfit(f"RUN {part.strip()}")
        for word in argv[1:]:
            if word.startswith("/"):
                _path(word, workdir)
        found.append(Run(argv, workdir))
    return found
