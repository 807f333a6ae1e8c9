"""Sessions of an environment that asks for a sandbox."""

import asyncio
import shutil

import pytest
from tests.serve.helpers import Caller, answered, said, serving

from athlos import ConfigError, Environment, reward, tool
from athlos.serve import EnvOptions, Options, Server

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
ROW = {"responses_create_params": {"input": [{"role": "user", "content": "Compute."}]}}


class Shell(Environment):
    """Run commands."""

    name = "shell"
    sandbox = True
    opened = []

    @tool
    async def sh(self, command: str) -> str:
        """Run a command.

        Args:
            command: For the shell.
        """
        self.opened.append(await self.sandbox.open())
        return (await self.sandbox.exec(command)).stdout

    @reward
    async def kept(self, rollout):
        return float(await self.sandbox.read("f") == b"mine\n")


def test_each_session_has_a_sandbox_that_ends_with_it():
    async def main():
        async with serving(Shell) as server:
            ask = Caller(server)
            sessions = []
            for _ in range(2):
                sessions.append((await ask.post("/seed_session", ROW)).session)
            await ask.post("/sh", {"command": "echo mine > f"}, sessions[0])
            other = await ask.post("/sh", {"command": "ls"}, sessions[1])
            rewards = [
                await ask.post("/verify", {**ROW, "response": answered(said("Done."))}, session)
                for session in sessions[:1]
            ]
            first = Shell.opened[0].alive
            await ask.post("/close", {}, sessions[1])
            return other.text, [r.json["reward"] for r in rewards], first, Shell.opened[1].alive

    Shell.opened = []
    listed, rewards, first, second = asyncio.run(main())
    assert rewards == [1.0]
    assert listed == ""
    assert not first
    assert not second


def test_a_provider_that_is_not_there_is_said_at_the_start(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    options = Options(environments=[EnvOptions("shell")], sandbox="docker")
    with pytest.raises(ConfigError, match="needs docker, which is not installed"):
        Server(options, environments=[Shell])
