"""Tinker: batches as `Datum`s, and its sampling client as an engine (tested with tinker 0.38).

model = Model.in_process(engine(sampling_client), "Qwen/Qwen3-4B")
async with Stream(athlos.collect("./counter.py", model, samples=8), batch=32) as stream:
    async for batch in stream:
        await client.forward_backward_async(datums(batch, mask=False), "importance_sampling")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from athlos.errors import ConfigError
from athlos.models.engines import Completion
from athlos.train.projection import Batch, TrainingGroup
from athlos.train.versions import require
from athlos.types import Sequence

__all__ = ["TESTED", "datums", "engine", "shifted"]

TESTED = ("tinker", "0.38", "0.39")
"""The versions of tinker that this was tested with: from, and up to but without."""

_PASSED = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop")


def datums(of: Batch | TrainingGroup | Iterable[Sequence], *, mask: bool = True) -> list[Any]:
    """What is in the loss, as Tinker's `Datum`s: one for each sequence.

    Args:
        of: A batch, a group or sequences; they must have advantages.
        mask: Keep `mask` among the inputs of the loss. The cookbook's own functions want it; the
            loss functions of the service do not.

    Raises:
        ConfigError: tinker is of another version than was tested, or a sequence has no advantage.
    """
    require(*TESTED)
    import tinker  # type: ignore[import-not-found,unused-ignore]

    made = []
    for sequence in of.sequences if isinstance(of, Batch | TrainingGroup) else of:
        inputs, rest = shifted(sequence)
        if not mask:
            del rest["mask"]
        made.append(
            tinker.Datum(
                model_input=tinker.ModelInput.from_ints(inputs),
                loss_fn_inputs={
                    name: tinker.TensorData(
                        data=values,
                        dtype="int64" if name == "target_tokens" else "float32",
                        shape=[len(values)],
                    )
                    for name, values in rest.items()
                },
            )
        )
    return made


def shifted(sequence: Sequence) -> tuple[list[int], dict[str, list[Any]]]:
    """The inputs of a sequence of n tokens, and what belongs to each one's next: n - 1 of each.

    Returns:
        Token ids, and `target_tokens`, `logprobs`, `advantages` and `mask`. What the mask leaves
        out has the advantage 0.

    Raises:
        ConfigError: It has no advantage.
    """
    if sequence.advantage is None:
        raise ConfigError(
            f"the sequences of rollout {sequence.rollout_id} have no advantage",
            hint='Projection(advantages="grpo"), or "loo" or "centered".',
        )
    kept = sequence.loss_mask[1:]
    return sequence.token_ids[:-1], {
        "target_tokens": sequence.token_ids[1:],
        "logprobs": sequence.logprobs[1:],
        "advantages": [sequence.advantage * one for one in kept],
        "mask": [float(one) for one in kept],
    }


def engine(client: Any) -> Callable[[list[int], dict[str, Any]], Awaitable[Completion]]:
    """Tinker's sampling client as an engine for `Model.in_process`.

    Args:
        client: A `SamplingClient`, or a function that gives the current one: each update of the
            weights makes a new one.

    Raises:
        ConfigError: tinker is of another version than was tested.
    """
    require(*TESTED)

    async def generate(ids: list[int], sampling: dict[str, Any]) -> Completion:
        import tinker

        now = client() if callable(client) else client
        given = {name: sampling[name] for name in _PASSED if sampling.get(name) is not None}
        stops = sampling.get("stop_token_ids")
        if stops and "stop" not in given:
            given["stop"] = list(stops)
        found = await now.sample(
            prompt=tinker.ModelInput.from_ints(ids),
            num_samples=1,
            sampling_params=tinker.SamplingParams(**given),
        )
        one = found.sequences[0]
        if one.logprobs is None:
            raise ConfigError("the sampling client sent no log-probabilities")
        return Completion(
            token_ids=list(one.tokens),
            logprobs=[float(value) for value in one.logprobs],
            finish_reason=one.stop_reason,
        )

    return generate
