"""Task folders of Harbor and of terminal-bench, as they lie on the disk.

The two forms, as harbor 0.25 and terminal-bench 0.2.18 read them:

    task.toml, instruction.md, environment/Dockerfile, tests/test.sh, solution/solve.sh
    task.yaml (with the instruction), Dockerfile, run-tests.sh, tests/, solution.sh
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, field

from athlos.errors import ConfigError

__all__ = ["TaskFolder", "files_below", "find", "read"]

_TEMPLATE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_UNITS = {"K": 1 / 1024, "M": 1, "G": 1024}


class TaskFolder(Struct, kw_only=True):
    """One task.

    Attributes:
        path: Its folder.
        instruction: What the model is told.
        test: The script that verifies, a path below `path`.
        solution: The script that solves it; None if there is none to run.
        context: The folder that its image is built from.
        image: An image that is ready, if the task names one.
        workdir: Where programs start; "" is where the image says.
        env: Environment variables of all programs.
        test_env: Further ones of the test.
        solution_env: Further ones of the solution.
        agent_seconds: How long the agent may take.
        test_seconds: How long the test may take.
        memory_mb: Memory; None if it does not say.
        disk_mb: Disk; None if it does not say.
        parses_pytest: Whether the test's output is the verdict, if it writes no reward.
    """

    path: Path
    instruction: str
    test: Path
    solution: Path | None
    context: Path
    image: str = ""
    workdir: str = ""
    env: dict[str, str] = field(default_factory=dict)
    test_env: dict[str, str] = field(default_factory=dict)
    solution_env: dict[str, str] = field(default_factory=dict)
    agent_seconds: float | None = None
    test_seconds: float = 600.0
    memory_mb: int | None = None
    disk_mb: int | None = None
    parses_pytest: bool = False

    @property
    def name(self) -> str:
        """Of the folder, which is the id of the task."""
        return self.path.name

    @property
    def dockerfile(self) -> Path:
        """What its image is made with; it need not be there."""
        return self.context / "Dockerfile"


def find(root: Path) -> list[Path]:
    """The task folders that a folder is or has, by name."""
    if _is_task(root):
        return [root]
    return sorted(path for path in root.iterdir() if path.is_dir() and _is_task(path))


def _is_task(path: Path) -> bool:
    return (path / "task.toml").is_file() or (path / "task.yaml").is_file()


def read(path: Path) -> TaskFolder:
    """One task.

    Raises:
        ConfigError: Its files are not as they should be, or it asks for what there is not here.
    """
    try:
        task = _harbor(path) if (path / "task.toml").is_file() else _terminal_bench(path)
    except (OSError, UnicodeError, yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the task folder {path} cannot be read: {error}") from error
    except (msgspec.ValidationError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"the task folder {path}: its settings are wrong: {error}") from error
    if not task.test.is_file():
        raise ConfigError(f"the task folder {path} has no {task.test.relative_to(path)}")
    return task


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder with their paths in it; links that lead out of it are refused."""
    inside = folder.resolve()
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or "__pycache__" in file.parts:
            continue
        if not file.resolve().is_relative_to(inside):
            raise ConfigError(f"{file} is a link out of its folder")
        yield file.relative_to(folder).as_posix(), file


class _Environment(Struct):
    docker_image: str | None = None
    os: str = "linux"
    memory_mb: int | None = None
    memory: str | None = None
    storage_mb: int | None = None
    storage: str | None = None
    gpus: int | None = None
    tpu: Any = None
    mcp_servers: list[Any] = []
    healthcheck: Any = None
    env: dict[str, str] = {}
    workdir: str | None = None


class _Agent(Struct):
    timeout_sec: float | None = None


class _Verifier(Struct):
    timeout_sec: float = 600.0
    env: dict[str, str] = {}
    environment_mode: str | None = None
    environment: Any = None
    collect: list[Any] = []


class _Solution(Struct):
    env: dict[str, str] = {}


class _Toml(Struct):
    environment: _Environment = field(default_factory=_Environment)
    agent: _Agent = field(default_factory=_Agent)
    verifier: _Verifier = field(default_factory=_Verifier)
    solution: _Solution = field(default_factory=_Solution)
    steps: list[Any] = []


def _harbor(path: Path) -> TaskFolder:
    found = msgspec.convert(tomllib.loads((path / "task.toml").read_text()), _Toml, strict=False)
    environment, verifier = found.environment, found.verifier
    context = path / "environment"
    _refuse(
        path,
        {
            "several steps": found.steps,
            "Windows": environment.os.lower() != "linux",
            "GPUs": environment.gpus,
            "TPUs": environment.tpu,
            "MCP servers": environment.mcp_servers,
            "a health check of its environment": environment.healthcheck,
            "an environment of its own for the verifier": verifier.environment
            or verifier.environment_mode == "separate",
            "collection from its services": verifier.collect,
            "several services": _has_services(context),
        },
    )
    solution = path / "solution" / "solve.sh"
    return TaskFolder(
        path=path,
        instruction=(path / "instruction.md").read_text(),
        test=path / "tests" / "test.sh",
        solution=solution if solution.is_file() else None,
        context=context,
        image=environment.docker_image or "",
        workdir=environment.workdir or "",
        env=_resolved(environment.env, path),
        test_env=_resolved(verifier.env, path),
        solution_env=_resolved(found.solution.env, path),
        agent_seconds=found.agent.timeout_sec,
        test_seconds=verifier.timeout_sec,
        memory_mb=environment.memory_mb or _megabytes(environment.memory),
        disk_mb=environment.storage_mb or _megabytes(environment.storage),
    )


class _Yaml(Struct):
    instruction: str
    parser_name: str = "pytest"
    max_agent_timeout_sec: float = 360.0
    max_test_timeout_sec: float = 60.0
    run_tests_in_same_shell: bool = False


def _terminal_bench(path: Path) -> TaskFolder:
    found = msgspec.convert(yaml.safe_load((path / "task.yaml").read_text()), _Yaml, strict=False)
    _refuse(
        path,
        {
            f"the parser {found.parser_name!r}": found.parser_name != "pytest",
            "tests in the shell of the agent": found.run_tests_in_same_shell,
            "several services": _has_services(path),
        },
    )
    solution = path / "solution.sh"
    return TaskFolder(
        path=path,
        instruction=found.instruction,
        test=path / "run-tests.sh",
        solution=solution if solution.is_file() else None,
        context=path,
        test_env={"TEST_DIR": "/tests"},
        agent_seconds=found.max_agent_timeout_sec,
        test_seconds=found.max_test_timeout_sec,
        parses_pytest=True,
    )


def _refuse(path: Path, wanted: Mapping[str, Any]) -> None:
    if asked := [what for what, is_asked in wanted.items() if is_asked]:
        raise ConfigError(
            f"the task {path.name} asks for {' and '.join(asked)}, which harbor: does not have",
            hint="Leave its folder out.",
        )


def _has_services(folder: Path) -> bool:
    for name in ("docker-compose.yaml", "docker-compose.yml", "compose.yaml"):
        if (folder / name).is_file():
            return len((yaml.safe_load((folder / name).read_text()) or {}).get("services", {})) > 1
    return False


def _resolved(env: Mapping[str, str], path: Path) -> dict[str, str]:
    """Values with the defaults of their templates; variables of this process are not passed on."""

    def default(match: re.Match[str]) -> str:
        if match[2] is None:
            raise ConfigError(
                f"the task {path.name} wants the variable {match[1]} of this machine",
                hint="Variables are not passed into sandboxes. Leave its folder out.",
            )
        return match[2]

    return {name: _TEMPLATE.sub(default, value) for name, value in env.items()}


def _megabytes(size: str | None) -> int | None:
    if not size:
        return None
    unit = _UNITS.get(size.strip()[-1:].upper())
    if unit is None:
        raise ValueError(f"the size {size!r} has no unit K, M or G")
    return int(float(size.strip()[:-1]) * unit)
