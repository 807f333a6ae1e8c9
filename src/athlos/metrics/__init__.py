"""What a run's records amount to: estimates with their uncertainty, and the summary of a run."""

from athlos.metrics.estimators import (
    AtK,
    Mean,
    avg_at_k,
    clustered_mean,
    pass_at_k,
    pass_at_k_over_tasks,
    pass_hat_k,
    pass_hat_k_over_tasks,
    percentiles,
    t_quantile,
)
from athlos.metrics.figures import (
    Accounting,
    FailureStats,
    Latency,
    Percentiles,
    RolloutStats,
    Summary,
    Tokens,
)
from athlos.metrics.run import summarize_run
from athlos.metrics.summary import Tally

__all__ = [
    "Accounting",
    "AtK",
    "FailureStats",
    "Latency",
    "Mean",
    "Percentiles",
    "RolloutStats",
    "Summary",
    "Tally",
    "Tokens",
    "avg_at_k",
    "clustered_mean",
    "pass_at_k",
    "pass_at_k_over_tasks",
    "pass_hat_k",
    "pass_hat_k_over_tasks",
    "percentiles",
    "summarize_run",
    "t_quantile",
]
