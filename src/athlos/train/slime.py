"""slime: functions for its `--...-path` arguments (contract of slime 0.3.1).

    --custom-generate-function-path athlos.train.slime.generate
    --custom-reward-post-process-path athlos.train.slime.post_process_rewards
    --rollout-function-path athlos.train.slime.generate_rollout     # in place of the first

`args.athlos`, from the file of `--custom-config-path`, has `environment` and the options of a run.
The prompt data are those of `write_prompt_data`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from athlos.errors import ConfigError
from athlos.models.client import Model
from athlos.registry import load
from athlos.train.attempts import TASK, Attempts, Outcome, neutral_rewards, read_task
from athlos.train.loop_thread import LoopThread
from athlos.train.settings import read_options
from athlos.train.slime_samples import OURS, post_process_rewards, to_samples
from athlos.train.tables import TaskTable
from athlos.train.versions import require
from athlos.types import Failure

__all__ = [
    "READ",
    "generate",
    "generate_rollout",
    "policy_model",
    "post_process_rewards",
    "write_prompt_data",
]

READ = ("slime", "0.3.1", "0.4")
"""The versions of slime whose contract this follows: from, and up to but without."""

_POST_PROCESS = f"{__name__}.post_process_rewards"
_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "max_new_tokens": "max_tokens",
             "stop": "stop"}  # fmt: skip
_STEP = 7200.0  # seconds that all groups of a step may take

_here: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Attempts]] = WeakKeyDictionary()
_threads: dict[str, tuple[LoopThread, Attempts]] = {}


async def generate(
    args: Any, sample: Any, sampling_params: Mapping[str, Any], evaluation: bool = False
) -> Any:
    """One attempt at the sample's task: a list of samples, one for each sequence of its calls.

    All have the attempt's `rollout_id`. It is a list even of one, since slime wants all of a group
    alike; in an evaluation it is the last sample alone. A failure has the status `FAILED`, no
    reward (NaN) and no token in the loss; `post_process_rewards` takes it out of the baseline.

    Raises:
        ConfigError: slime is of another version, or the arguments do not go together.
    """
    _check(args, evaluation)
    settings = _settings(args)
    known = _here.setdefault(asyncio.get_running_loop(), {})
    key = _key(settings)
    if key not in known:
        known[key] = _open(args, settings, alone=True)
    task = _task(sample, sampling_params)
    made = to_samples(sample, (await known[key].group(task))[0])
    return made[-1] if evaluation else made


def generate_rollout(args: Any, rollout_id: int, data_source: Any, evaluation: bool = False) -> Any:
    """A step: all attempts at the next groups of the data source, group rewards included.

    With `evaluation`, attempts at the tasks that `args.athlos["eval"]` names (`split`, `limit`);
    failures are left out of its rewards.

    Raises:
        ConfigError: As `generate`.
        AthlosError: All attempts failed.
    """
    _check(args, evaluation)
    settings = _settings(args)
    key = _key(settings)
    if key not in _threads:
        thread = LoopThread("athlos-slime")
        try:
            _threads[key] = thread, thread.call(_open, args, settings, within=_STEP)
        except BaseException:
            thread.close()
            raise
    thread, attempts = _threads[key]
    thread.call(attempts.resume, rollout_id, within=_STEP)
    if evaluation:
        return _evaluate(args, settings, thread, attempts)
    from slime.rollout.base_types import RolloutFnTrainOutput  # type: ignore[import-not-found]

    sampling = _sampling(args, "rollout")
    groups = data_source.get_samples(args.rollout_batch_size)
    found = thread.run(_attempt(attempts, groups, sampling), _STEP)
    neutral_rewards(found)  # an error if nothing worked
    samples = [
        [to_samples(*pair) for pair in zip(group, outcomes, strict=True)]
        for group, outcomes in zip(groups, found, strict=True)
    ]
    flat = [one for outcomes in found for one in outcomes]
    failed = sum(isinstance(one, Failure) for one in flat)
    figures = {"athlos/attempts": float(len(flat)), "athlos/failed": float(failed)}
    return RolloutFnTrainOutput(samples=samples, metrics=figures)


def write_prompt_data(
    environment: str, path: str | Path, *, split: str = "train", limit: int | None = None,
    config: Any = None, tasks: Any = None,
) -> int:  # fmt: skip
    """Writes an environment's tasks as slime's prompt data, and says how many.

    For `--prompt-data FILE --input-key prompt --label-key label --metadata-key metadata`.
    """
    table = TaskTable(load(environment), tasks, config=config, split=split, limit=limit)
    with Path(path).open("wb") as file:
        for task in table.tasks.values():
            row = {"prompt": task.messages(), "label": "", "metadata": {TASK: task}}
            file.write(msgspec.json.encode(row) + b"\n")
    return len(table.tasks)


def policy_model(args: Any) -> Model:
    """The policy behind slime's router, by token ids; the tokenizer is that of `hf_checkpoint`."""
    from athlos.models.token_modes import Exact

    url = f"http://{args.sglang_router_ip}:{args.sglang_router_port}/v1"
    return Model(url, tokens=Exact(args.hf_checkpoint, engine="sglang"))


def _check(args: Any, evaluation: bool) -> None:
    require(*READ, extra="slime @ git+https://github.com/THUDM/slime@v0.3.1")
    if getattr(args, "reward_key", None):
        raise ConfigError(
            "slime's --reward-key chooses one of several rewards, and Athlos gives their sum",
            hint="Leave it out; weigh rewards in the environment.",
        )
    if getattr(args, "rollout_top_p", 1.0) != 1.0 and not evaluation:
        raise ConfigError(
            f"with --rollout-top-p {args.rollout_top_p:g} slime wants the candidates of each token",
            hint="Athlos does not record them: --rollout-top-p 1.",
        )
    found = getattr(args, "custom_reward_post_process_path", None)
    if found != _POST_PROCESS and not evaluation:
        raise ConfigError(
            f"slime's own group normalisation ({found or 'the default'}) takes failures and forked "
            "rollouts for rollouts of their own",
            hint=f"--custom-reward-post-process-path {_POST_PROCESS}",
        )


def _settings(args: Any) -> dict[str, Any]:
    found = getattr(args, OURS, None)
    if not isinstance(found, Mapping) or "environment" not in found:
        raise ConfigError(
            f"args.{OURS} names no environment",
            hint="--custom-config-path FILE, which has `athlos: {environment: ./counter.py}`",
        )
    return dict(found)


def _key(settings: Mapping[str, Any]) -> str:
    return msgspec.json.encode(settings, order="deterministic").decode()


def _open(args: Any, settings: Mapping[str, Any], *, alone: bool = False) -> Attempts:
    given = {name: value for name, value in settings.items() if name != "eval"}
    options = read_options(given, f"args.{OURS}")
    return Attempts(model=policy_model(args), alone=alone, **options)


def _task(sample: Any, sampling: Mapping[str, Any]) -> Any:
    said = (sample.metadata or {}).get(TASK)
    if said is None:
        raise ConfigError(
            f"the sample's metadata have no {TASK!r}",
            hint="Make --prompt-data with athlos.train.slime.write_prompt_data.",
        )
    given: dict[str, Any] = {ours: sampling.get(theirs) for theirs, ours in _SAMPLING.items()}
    top_k = sampling.get("top_k") or 0
    return read_task(said, {**given, "top_k": top_k if top_k > 0 else None})


async def _attempt(
    attempts: Attempts, groups: Many[Many[Any]], sampling: Mapping[str, Any]
) -> list[list[Outcome]]:
    work = (attempts.group(_task(group[0], sampling), len(group)) for group in groups)
    return list(await asyncio.gather(*work))


def _evaluate(
    args: Any, settings: Mapping[str, Any], thread: LoopThread, attempts: Attempts
) -> Any:
    from slime.rollout.base_types import (  # type: ignore[import-not-found,unused-ignore]
        RolloutFnEvalOutput,
    )
    from slime.utils.types import Sample  # type: ignore[import-not-found,unused-ignore]

    given = {"split": "test", **settings.get("eval", {})}
    table = TaskTable(attempts.env, config=settings.get("config"), **given)
    width = args.n_samples_per_eval_prompt
    groups = [
        [
            Sample(group_index=number, index=number * width + at, metadata={TASK: task})
            for at in range(width)
        ]
        for number, task in enumerate(msgspec.to_builtins(list(table.tasks.values())))
    ]
    found = thread.run(_attempt(attempts, groups, _sampling(args, "eval")), _STEP)
    neutral_rewards(found)
    done = [
        to_samples(sample, one)[-1]
        for group, outcomes in zip(groups, found, strict=True)
        for sample, one in zip(group, outcomes, strict=True)
        if not isinstance(one, Failure)
    ]
    return RolloutFnEvalOutput(
        data={
            attempts.env.name: {
                "rewards": [sample.reward for sample in done],
                "truncated": [sample.status == Sample.Status.TRUNCATED for sample in done],
                "samples": done,
            }
        }
    )


def _sampling(args: Any, kind: str) -> dict[str, Any]:
    """Of `--rollout-temperature` and its like, or of `--eval-...` where these are given."""
    found: dict[str, Any] = {}
    names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k",
             "max_response_len": "max_new_tokens", "stop": "stop"}  # fmt: skip
    for theirs, ours in names.items():
        own = getattr(args, f"{kind}_{theirs}", None)
        found[ours] = getattr(args, f"rollout_{theirs}", None) if own is None else own
    return found
