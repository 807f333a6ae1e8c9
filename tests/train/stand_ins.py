"""Stand-ins for slime, SkyRL and AReaL: they are not what these frameworks do with what they get.

Each has the names, fields and checks that the adapters meet, as the frameworks' sources have them:
slime 0.3.1 (`slime/utils/types.py`, `slime/rollout/base_types.py`, `slime/ray/rollout.py`), SkyRL
0.4.0 (`skyrl/train/generators/base.py`, `skyrl/train/utils/trainer_utils.py`) and AReaL 1.0.4
(`areal/api/io_struct.py`, `areal/api/workflow_api.py`).
"""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from enum import Enum
from types import ModuleType
from typing import Any

from athlos.train import versions

VERSIONS = {"slime": "0.3.1", "skyrl": "0.4.0", "areal": "1.0.4"}


# slime ---------------------------------------------------------------------------------------


@dataclass
class Sample:
    """slime's sample; fields that no adapter meets are left out."""

    group_index: int | None = None
    index: int | None = None
    rollout_id: int | None = None
    prompt: str | list[dict[str, str]] = ""
    tokens: list[int] = field(default_factory=list)
    response: str = ""
    response_length: int = 0
    label: str | None = None
    reward: float | dict[str, Any] | None = None
    loss_mask: list[int] | None = None
    weight_versions: list[str] = field(default_factory=list)
    rollout_log_probs: list[float] | None = None
    remove_sample: bool = False
    metadata: dict = field(default_factory=dict)
    session_id: str | None = None

    class Status(Enum):
        PENDING = "pending"
        COMPLETED = "completed"
        TRUNCATED = "truncated"
        ABORTED = "aborted"
        FAILED = "failed"

    status: Status = Status.PENDING


@dataclass
class RolloutFnTrainOutput:
    samples: list[list[Sample]]
    metrics: dict[str, Any] | None = None


@dataclass
class RolloutFnEvalOutput:
    data: dict[str, dict[str, Any]]
    metrics: dict[str, Any] | None = None


def slime_train_data(args, data, post_process):
    """What slime makes of a step: it flattens, post-processes rewards, and checks lengths."""
    for group in data:
        for member in group:
            if isinstance(member, list):
                assert all(sample.rollout_id is not None for sample in member)
    while isinstance(data[0], list):
        data = [one for part in data for one in part]
    raw, rewards = post_process(args, data)
    assert len(raw) == len(rewards) == len(data)
    for sample in data:
        assert len(sample.loss_mask) == sample.response_length > 0
        assert len(sample.rollout_log_probs) == sample.response_length
        if sample.remove_sample:
            sample.loss_mask = [0] * sample.response_length
    return {
        "tokens": [sample.tokens for sample in data],
        "response_lengths": [sample.response_length for sample in data],
        "rewards": rewards,
        "raw_reward": raw,
        "truncated": [int(sample.status == Sample.Status.TRUNCATED) for sample in data],
        "loss_masks": [sample.loss_mask for sample in data],
        "rollout_log_probs": [sample.rollout_log_probs for sample in data],
    }


# SkyRL ---------------------------------------------------------------------------------------


@dataclass
class TrajectoryID:
    instance_id: str
    repetition_id: int

    def to_string(self):
        return f"{self.instance_id}_{self.repetition_id}"


@dataclass
class BatchMetadata:
    global_step: int
    training_phase: str


class GeneratorInterface(ABC):
    @abstractmethod
    async def generate(self, input_batch): ...


OUTPUT = {
    *("prompt_token_ids", "response_ids", "rewards", "loss_masks", "stop_reasons"),
    *("rollout_metrics", "rollout_logprobs", "trajectory_ids", "trajectory_generation_times"),
    *("trajectory_time_splits", "rollout_expert_indices", "rollout_sample_support"),
    *("is_last_step", "env_metrics", "pixel_values", "image_grid_thw"),
}


def skyrl_validate(prompts: int, output: dict[str, Any], step_wise: bool) -> None:
    """SkyRL's `validate_generator_output`."""
    assert set(output) == OUTPUT
    rows = len(output["response_ids"])
    assert rows > 0
    assert step_wise or rows == prompts
    for name in ("prompt_token_ids", "loss_masks", "rewards", "rollout_logprobs", "stop_reasons"):
        assert len(output[name]) == rows, name
    for place, ids in enumerate(output["response_ids"]):
        assert len(ids) == len(output["loss_masks"][place]) > 0
        assert len(ids) == len(output["rollout_logprobs"][place])
        assert isinstance(output["rewards"][place], float)
    assert len(output["trajectory_generation_times"]) == prompts
    if not step_wise:
        return
    last, ids = output["is_last_step"], output["trajectory_ids"]
    assert len(last) == len(ids) == rows
    assert last[-1] is True
    seen, before = set(), None
    for place, one in enumerate(ids):
        name = one.to_string()
        if name != before:
            assert name not in seen
            assert place == 0 or last[place - 1]
            seen.add(name)
        before = name
    assert sum(last) == prompts


# AReaL ---------------------------------------------------------------------------------------


@dataclass
class GenerationHyperparameters:
    n_samples: int = 1
    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 100_000_000
    stop_token_ids: list[int] = field(default_factory=list)

    def new(self, **given):
        return replace(self, **given)


@dataclass
class ModelRequest:
    rid: str = ""
    input_ids: list[int] = field(default_factory=list)
    gconfig: GenerationHyperparameters = field(default_factory=GenerationHyperparameters)
    metadata: dict[str, Any] = field(default_factory=dict)
    tokenizer: Any = None


@dataclass
class ModelResponse:
    input_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    output_logprobs: list[float] = field(default_factory=list)
    output_versions: list[int] = field(default_factory=list)
    stop_reason: str = "stop"


class RolloutWorkflow(ABC):
    @abstractmethod
    async def arun_episode(self, engine, data): ...


_MODULES = {
    "slime.utils.types": {"Sample": Sample},
    "slime.rollout.base_types": {
        "RolloutFnTrainOutput": RolloutFnTrainOutput,
        "RolloutFnEvalOutput": RolloutFnEvalOutput,
    },
    "skyrl.train.generators.base": {
        "GeneratorInterface": GeneratorInterface,
        "TrajectoryID": TrajectoryID,
        "BatchMetadata": BatchMetadata,
    },
    "areal.api.io_struct": {"ModelRequest": ModelRequest, "ModelResponse": ModelResponse},
    "areal.api.workflow_api": {"RolloutWorkflow": RolloutWorkflow},
}


def install(monkeypatch, framework: str, version: str = "") -> None:
    """Puts a stand-in under the names of its framework, for one test."""
    known = {**VERSIONS, framework: version or VERSIONS[framework]}
    real = versions.version
    monkeypatch.setattr(versions, "version", lambda name: known.get(name) or real(name))
    for name, content in _MODULES.items():
        if name.partition(".")[0] != framework:
            continue
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            part = ".".join(parts[:length])
            if part not in sys.modules:
                monkeypatch.setitem(sys.modules, part, ModuleType(part))
        for key, value in content.items():
            monkeypatch.setattr(sys.modules[name], key, value, raising=False)
