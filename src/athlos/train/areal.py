"""AReaL: an agent for its proxy, and a workflow on its engine (contract of AReaL 1.0).

    trainer.train(                                           # Athlos has the tokens
        workflow="athlos.train.areal.AthlosWorkflow",
        workflow_kwargs={"environment": "./counter.py", "gconfig": ..., "tokenizer": ...},
    )
    trainer.train(                                           # AReaL's proxy has them
        workflow="athlos.train.areal.AthlosAgent",
        workflow_kwargs={"environment": "./counter.py"},
    )

The rows of the data set are those of `rows`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec

from athlos.environment import Environment
from athlos.errors import AthlosError, ConfigError
from athlos.models.client import Model
from athlos.models.engines import Completion
from athlos.models.transport import Response, TransportError
from athlos.registry import load
from athlos.train.attempts import TASK, Attempts, Outcome, read_task
from athlos.train.projection import TrainingRollout
from athlos.train.settings import read_options
from athlos.train.tables import TaskTable
from athlos.train.versions import require
from athlos.types import Failure, Sequence, Task, VersionSpan

__all__ = ["READ", "AthlosAgent", "AthlosWorkflow", "lists", "rows"]  # noqa: F822 - see below

READ = ("areal", "1.0.4", "1.1")
"""The versions of AReaL whose contract this follows: from, and up to but without."""

_SAMPLING = ("temperature", "top_p", "top_k", "stop_token_ids")  # as AReaL calls them, too
_CONTEXT = -1  # AReaL's version of tokens that nobody sampled


def rows(
    environment: str | type[Environment], *, split: str = "train", limit: int | None = None,
    config: Any = None, tasks: Any = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """An environment's tasks as rows of AReaL's data set: `messages` and the task."""
    table = TaskTable(load(environment), tasks, config=config, split=split, limit=limit)
    return [
        {
            "messages": msgspec.to_builtins(task.messages()),
            TASK: msgspec.json.encode(task).decode(),
        }
        for task in table.tasks.values()
    ]


class AthlosAgent:
    """An agent for `rollout.agent`, in the mode `inline`: AReaL's proxy records the tokens.

    Each episode is a run of its own, `shared` of the environment included.

    Args:
        environment: As for `athlos.collect`.
        options: Of `athlos.collect`, as `athlos.train.settings.read_options` takes them, and
            `patience`: seconds that an episode may take.
    """

    def __init__(self, environment: str | type[Environment], **options: Any) -> None:
        self._environment, self._options = environment, read_options(options, "workflow_kwargs")

    async def run(self, data: Mapping[str, Any], **given: Any) -> float:
        """The reward of one attempt at the row's task.

        Args:
            data: The row.
            given: AReaL's `base_url`, `api_key` and `http_client` (an `httpx.AsyncClient`).

        Raises:
            ConfigError: The row has no task.
            AthlosError: The attempt failed; AReaL rejects the episode.
        """
        proxy = _Proxy(given["http_client"], given["base_url"], given["api_key"])
        model = Model(given["base_url"], "default", transport=proxy)
        attempts = Attempts(self._environment, model, alone=True, **self._options)
        try:
            (one,) = await attempts.group(_task(data))
        finally:
            await attempts.close()
        return float(_done(one).reward)


def __getattr__(name: str) -> Any:
    """`AthlosWorkflow`, which is AReaL's `RolloutWorkflow` from the first look at it on."""
    if name != "AthlosWorkflow":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require(*READ)
    from areal.api.workflow_api import (  # type: ignore[import-not-found,unused-ignore]
        RolloutWorkflow,
    )

    RolloutWorkflow.register(_Workflow)
    return _Workflow


class _Workflow:
    """One attempt an episode, and one row of it: that of the main conversation.

    Args:
        environment: As for `athlos.collect`.
        gconfig: AReaL's `GenerationHyperparameters`.
        tokenizer: The policy's, as `Model.in_process` takes it: a folder or a name.
        context: Tokens that fit into a prompt and its completion together.
        truncated: `train`, or `mask`: rollouts that a limit ended are then rejected.
        options: Of `athlos.collect`, as `athlos.train.settings.read_options` takes them, and
            `patience`: seconds that an episode may take.
    """

    def __init__(
        self,
        environment: str | type[Environment],
        gconfig: Any,
        tokenizer: str,
        *,
        context: int | None = None,
        truncated: Literal["train", "mask"] = "train",
        **options: Any,
    ) -> None:
        self._environment, self._gconfig, self._tokenizer = environment, gconfig, tokenizer
        self._context = context
        self._options = {"truncated": truncated, **read_options(options, "workflow_kwargs")}
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Attempts]]
        self._open = WeakKeyDictionary()

    async def arun_episode(self, engine: Any, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """The tensors of one attempt, each of shape (1, tokens) but for `rewards`, (1,).

        None if nothing of it can be trained on: AReaL rejects the episode.

        Raises:
            ConfigError: The row has no task.
            AthlosError: The attempt failed.
        """
        known = self._open.setdefault(asyncio.get_running_loop(), {})
        if id(engine) not in known:
            model = Model.in_process(
                _Engine(engine, self._gconfig), self._tokenizer, context=self._context
            )
            known[id(engine)] = Attempts(
                self._environment, model, policy="main_only", alone=True, **self._options
            )
        (one,) = await known[id(engine)].group(_task(data))
        made = lists(_done(one))
        return None if made is None else _tensors(made)

    async def close(self) -> None:
        """Frees the resources of this event loop. May be called twice."""
        for attempts in self._open.pop(asyncio.get_running_loop(), {}).values():
            await attempts.close()


_Workflow.__name__ = _Workflow.__qualname__ = "AthlosWorkflow"  # AReaL sends it by name


def lists(one: TrainingRollout) -> dict[str, list[Any]] | None:
    """What the workflow's tensors hold, as plain lists without the leading dimension."""
    if not one.trained:
        return None
    sequence = one.trained[0]
    length = len(sequence.token_ids)
    return {
        "input_ids": sequence.token_ids,
        "loss_mask": sequence.loss_mask,
        "logprobs": sequence.logprobs,
        "versions": _versions(sequence),
        "attention_mask": [True] * length,
        "rewards": [float(one.reward)],
    }


def _versions(sequence: Sequence) -> list[int]:
    """The weights that sampled each token; -1 of context, and where nobody said."""
    made = [_CONTEXT] * len(sequence.token_ids)
    for span in sequence.versions:
        if span.version.isdecimal():
            made[span.start : span.end] = [int(span.version)] * (span.end - span.start)
    return made


def _tensors(made: Mapping[str, list[Any]]) -> dict[str, Any]:
    import torch  # type: ignore[import-not-found,unused-ignore]

    kinds = {"logprobs": torch.float32, "rewards": torch.float32, "attention_mask": torch.bool}
    return {
        name: torch.tensor(
            values if name == "rewards" else [values], dtype=kinds.get(name, torch.int32)
        )
        for name, values in made.items()
    }


def _task(data: Mapping[str, Any]) -> Task:
    if TASK not in data:
        raise ConfigError(
            f"the row has no {TASK!r}", hint="Make the data set with athlos.train.areal.rows."
        )
    return read_task(data[TASK], {})


def _done(one: Outcome) -> TrainingRollout:
    if isinstance(one, Failure):
        raise AthlosError(f"the attempt failed by {one.failure_class}: {one.message}")
    return one


class _Engine:
    """AReaL's inference engine as an engine of this process."""

    def __init__(self, engine: Any, gconfig: Any) -> None:
        self._engine, self._gconfig = engine, gconfig

    async def __call__(self, ids: list[int], sampling: dict[str, Any]) -> Completion:
        from areal.api.io_struct import (  # type: ignore[import-not-found,unused-ignore]
            ModelRequest,
        )

        given = {name: sampling[name] for name in _SAMPLING if sampling.get(name) is not None}
        given["n_samples"] = 1
        most = [self._gconfig.max_new_tokens, sampling.get("max_tokens")]
        given["max_new_tokens"] = min(one for one in most if one is not None)
        request = ModelRequest(
            rid=uuid.uuid4().hex, input_ids=list(ids), gconfig=self._gconfig.new(**given)
        )
        made = await self._engine.agenerate(request)
        versions, start = [], 0
        for version, same in groupby(made.output_versions):
            end = start + len(list(same))
            versions.append(VersionSpan(str(version), start, end))
            start = end
        reason = "stop" if made.stop_reason == "tool_calls" else made.stop_reason
        return Completion(
            token_ids=list(made.output_tokens),
            logprobs=[float(one) for one in made.output_logprobs],
            finish_reason=reason,
            versions=versions,
        )


class _Proxy:
    """AReaL's proxy as a transport: its client, and the key of one session."""

    def __init__(self, client: Any, base_url: str, key: str) -> None:
        self._client, self._url = client, base_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    async def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Sends a request; the proxy has no list of models."""
        if path == "/models":
            known = {"data": [{"id": "default", "object": "model"}]}
            return Response(200, {}, msgspec.json.encode(known))
        try:
            got = await self._client.request(
                method, self._url + path, content=body, headers=self._headers, timeout=None
            )
        except Exception as error:  # whatever HTTP library AReaL hands over
            raise TransportError("reset", f"{type(error).__name__}: {error}") from error
        return Response(got.status_code, dict(got.headers), got.content)

    async def close(self) -> None:
        """Frees nothing: the client is AReaL's."""
