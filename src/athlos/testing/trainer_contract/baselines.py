"""Group baselines as a reader would compute them by hand, to compare others with."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["baseline"]


def baseline(rewards: Sequence[float], mode: str, epsilon: float = 1e-6) -> list[float]:
    """The advantage of each reward in its group.

    Args:
        rewards: Of the rollouts that are compared: one each, however many rows it came to, and none
            for what failed.
        mode: `grpo`, `loo` or `centered`; see `athlos.sequences.advantages`.
        epsilon: Is added to the deviation in `grpo`; trainers differ in it.
    """
    n = len(rewards)
    if n < 2 or all(one == rewards[0] for one in rewards):
        return [0.0] * n
    mean = sum(rewards) / n
    found = []
    for place, one in enumerate(rewards):
        if mode == "centered":
            found.append(one - mean)
        elif mode == "loo":
            others = [other for at, other in enumerate(rewards) if at != place]
            found.append(one - sum(others) / len(others))
        else:
            variance = sum((other - mean) ** 2 for other in rewards) / (n - 1)
            found.append((one - mean) / (variance**0.5 + epsilon))
    return found
