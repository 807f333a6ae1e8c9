"""What a program is given for one attempt: a folder, files, variables, words."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from athlos.agents.process import Program
from athlos.environment import Environment
from athlos.errors import AgentError
from athlos.gateway import Lease
from athlos.types import Rollout

__all__ = ["RESERVED", "AttemptFolder"]

RESERVED = frozenset(
    {"HOME", "TMPDIR", "OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL",
     "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"}
)  # fmt: skip
_LOCAL = "127.0.0.1,localhost"
_LONGEST_WORD = 128 << 10  # bytes; MAX_ARG_STRLEN of Linux
_SHORTEST_SECRET = 8  # characters: to black out less would garble the output


class AttemptFolder:
    """The folder of one attempt, made when the program starts.

    It holds `task.json`, `prompt.txt`, and the empty folders `work` (where the program starts),
    `home` and `tmp`.

    Attributes:
        path: Of the folder.
        secrets: What must not be seen in the program's output.
    """

    def __init__(
        self,
        env: Environment,
        rollout: Rollout,
        lease: Lease,
        argv: Sequence[str],
        names: Sequence[str],
        model: str,
    ) -> None:
        self.path = Path()
        tools = env.offered_tools()
        passed = {name: os.environ[name] for name in names if name in os.environ}
        self.secrets = [
            value for value in (lease.api_key, *passed.values()) if len(value) >= _SHORTEST_SECRET
        ]
        self._argv = argv
        self._prompt = "\n\n".join(message.text for message in rollout.messages)
        self._task = msgspec.json.encode(
            {
                "id": env.task.id,
                "prompt": rollout.messages,
                "tools": [tool.wire for tool in tools.values()],
            }
        )
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": os.environ.get("LANG") or "C.UTF-8",
            **passed,
            **lease.environ(),
            "ATHLOS_MODEL": model,
        }
        if any(name.lower().endswith("_proxy") for name in passed):  # not on the way to us
            for name in ("NO_PROXY", "no_proxy"):
                self._env[name] = ",".join(filter(None, (passed.get(name), _LOCAL)))
        if tools:
            self._env["ATHLOS_MCP_URL"] = f"{lease.root}/mcp"
            self._env["ATHLOS_MCP_KEY"] = lease.api_key

    def start(self, *, tail: int, remove: bool) -> Program:
        """Makes the folder and starts the program in it.

        Raises:
            AgentError: That does not work.
        """
        try:
            self.path = path = Path(tempfile.mkdtemp(prefix="athlos-agent-"))
        except OSError as error:
            raise AgentError(f"no folder for the agent's program: {error}") from error
        try:
            for name in ("work", "home", "tmp"):
                (path / name).mkdir()
            (path / "task.json").write_bytes(self._task)
            words = self._words()
            asked = words == list(self._argv)  # else the prompt is among the words
            stdin = path / "prompt.txt"
            stdin.write_text(self._prompt, errors="replace")
            env = {
                **self._env,
                "HOME": str(path / "home"),
                "TMPDIR": str(path / "tmp"),
                "ATHLOS_TASK": str(path / "task.json"),
            }
            return Program(
                words, env=env, cwd=path / "work", stdin=stdin if asked else Path(os.devnull),
                folder=path, remove=remove, tail=tail,
            )  # fmt: skip
        except BaseException as error:
            with suppress(OSError):
                shutil.rmtree(path)
            if isinstance(error, OSError):
                raise AgentError(f"the agent's folder cannot be written: {error}") from error
            raise

    def _words(self) -> list[str]:
        """The command with the prompt and the path of the task in their places."""
        task = str(self.path / "task.json")
        words = []
        for word in self._argv:
            # the prompt last, as it may hold the text of a placeholder
            made = self._prompt.join(
                part.replace("{task}", task) for part in word.split("{prompt}")
            )
            if "\0" in made or len(made.encode(errors="replace")) >= _LONGEST_WORD:
                raise AgentError(
                    "the prompt cannot be an argument: it has more than 128 KiB, or a zero byte",
                    hint="Read it from standard input: leave {prompt} out of the command.",
                )
            words.append(made)
        return words
