"""Agent servers of NeMo Gym, by address: `nemo-gym-agent+http://host:port`.

One `/run` is one attempt. The server drives the model that it is configured with: `--model` and
`--base-url` name the same one, so that its server is checked and its name recorded. What comes back
is recorded as if the attempt had been made here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from athlos.connect.http_server import Server, ServerError, name_of
from athlos.connect.nemo_gym_rows import gym_task, row_of, take_result, with_sampling
from athlos.environment import Config, Environment, reward
from athlos.errors import AgentError, ConfigError
from athlos.responses import read_turns
from athlos.types import Call, Rollout, Task, Usage

if TYPE_CHECKING:
    from athlos.agents.base import Chat

__all__ = ["RunAgent", "load"]

_WHERE = "`response.output`"


class AgentConfig(Config):
    """Settings of an agent server.

    Attributes:
        timeout: Seconds that a `/run` may take.
        wait: Seconds that an attempt waits for a server that refuses connections.
        api_key_env: Variable that holds the server's bearer token; "" if it asks for none.
    """

    timeout: float = 3600.0
    wait: float = 30.0
    api_key_env: str = ""


def load(url: str) -> type[Environment]:
    """The environment whose attempts are made by the agent server at a URL."""
    url = url.rstrip("/")
    return type(
        "NemoGymAgent",
        (NemoGymAgent,),
        {
            "__doc__": f"The NeMo Gym agent server at {url}.",
            "__module__": __name__,
            "name": name_of("nemo-gym-agent", url),
            "url": url,
        },
    )


class NemoGymAgent(Environment):
    """A task is a row; everything else is the server's."""

    Config = AgentConfig
    from_row = staticmethod(gym_task)
    url: str
    result: dict[str, Any]

    @classmethod
    def tasks(cls, config: Any, split: str) -> list[Task]:
        """There are none: the protocol has no route for them."""
        raise ConfigError(
            f"{cls.name}: an agent server has no tasks",
            hint="--tasks FILE.jsonl, with the rows of its data set.",
        )

    @classmethod
    def own_agent(cls, agent: Any) -> Any:
        """The server is the agent."""
        return RunAgent(url=cls.url)

    @classmethod
    @asynccontextmanager
    async def shared(cls, config: AgentConfig) -> AsyncIterator[Server]:
        """The server."""
        server = Server(cls.url, api_key_env=config.api_key_env, wait=config.wait)
        try:
            try:
                await server.first(server.session(), "GET", "/", None, timeout=30.0)
            except ServerError as error:
                raise ConfigError(error.message, hint=error.hint) from error
            yield server
        finally:
            await server.close()

    @reward
    def verify(self, rollout: Rollout) -> float:
        """The server's reward."""
        return take_result(self.result, row_of(self.task), rollout, f"{self.url}/run")


class RunAgent(Struct, frozen=True, kw_only=True):
    """Has an agent server make the attempt."""

    url: str

    def settings(self) -> dict[str, Any]:
        """What identifies this agent in a run's configuration."""
        return {"name": "nemo_gym_agent"}

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        """Drives one attempt; see `Agent.run`."""
        assert isinstance(env, NemoGymAgent)
        server: Server = env.shared  # type: ignore[assignment]
        body = with_sampling(row_of(env.task), sampling)
        clock = time.monotonic()
        answer = await server.first(
            server.session(), "POST", "/run", body, timeout=env.config.timeout
        )
        env.result = answer.fields()
        rollout.timing.environment += time.monotonic() - clock
        made = env.result.get("response")
        if not isinstance(made, dict):
            if env.result.get("_ng_failure_class") is None:
                raise AgentError(f"{answer.what} answered a row without a `response`")
            made = {}
        try:
            _take(made, rollout)
        except ConfigError as error:
            raise AgentError(f"{answer.what}: {error.message}") from error


def _take(made: Mapping[str, Any], rollout: Rollout) -> None:
    """Takes a response, the whole trajectory, into the rollout."""
    for message, tokens in read_turns(made.get("output"), where=_WHERE):
        if message.role == "assistant":
            rollout.turns += 1
            rollout.tool_calls += len(message.tool_calls)
            if tokens is not None:
                prompt, sampled, logprobs = tokens
                rollout.calls.append(
                    Call(
                        prompt_messages=len(rollout.messages),
                        finish_reason="tool_calls" if message.tool_calls else "stop",
                        usage=Usage(len(prompt), len(sampled)),
                        started=rollout.timing.started,
                        latency=0.0,
                        prompt_token_ids=prompt,
                        token_ids=sampled,
                        logprobs=logprobs,
                        token_mode="capture",
                        token_source="endpoint",
                    )
                )
        rollout.messages.append(message)
    usage = made.get("usage")
    if isinstance(usage, dict):
        counts = usage.get("input_tokens"), usage.get("output_tokens")
        rollout.usage = Usage(*(n if isinstance(n, int) else 0 for n in counts))
    details = made.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if reason is None:
        rollout.stop_reason = "answered"
    else:
        rollout.status = "truncated"
        rollout.stop_reason = "content_filter" if reason == "content_filter" else "max_tokens"
