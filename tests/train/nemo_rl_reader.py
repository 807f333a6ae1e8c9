"""What NeMo RL reads of a result, restated: its assertions, and the batch that it makes.

Source: NVIDIA-NeMo/RL, `nemo_rl/environments/nemo_gym.py` and `nemo_rl/experience/rollouts.py`.
"""

import json
import math


def read(row, result):
    """The message log of a result, as NeMo RL makes it; AssertionError where it refuses one."""
    assert isinstance(result, dict)
    json.dumps(result)
    assert isinstance(row["agent_ref"]["name"], str)
    result["responses_create_params"]["input"]
    log, seen = [], []
    for item in result["response"]["output"]:
        if not item.get("generation_token_ids"):
            continue
        prompt = item.pop("prompt_token_ids")
        sampled = item.pop("generation_token_ids")
        logprobs = item.pop("generation_log_probs")
        assert prompt[: len(seen)] == seen, "Non-contiguous messages found!"
        assert len(sampled) == len(logprobs)
        assert all(type(one) is int for one in prompt + sampled)
        assert all(type(one) is float and not math.isnan(one) for one in logprobs)
        log.append(("user", prompt[len(seen) :], None))
        log.append(("assistant", sampled, logprobs))
        seen += prompt[len(seen) :] + sampled
    assert log, "a result with no generation data"
    assert type(result["reward"]) is float and math.isfinite(result["reward"])
    parts = result.get("reward_components")
    if parts:
        total = sum(float(one) for one in parts.values())
        assert math.isclose(result["reward"], total, rel_tol=1e-5, abs_tol=1e-6)
    assert type(result["instance_config"]["mask_sample"]) is bool
    return log


def metrics(results):
    """The figures of one agent: those of the first result's keys that are numbers."""
    found = {}
    for key in results[0]:
        values = [r[key] for r in results if isinstance(r.get(key), bool | int | float)]
        if values:
            found[key] = sum(map(float, values)) / len(results)
    return found


def baseline(results):
    """The mean of a group: what is masked counts, too."""
    return sum(one["reward"] for one in results) / len(results)
