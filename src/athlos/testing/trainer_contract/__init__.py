"""A conformance kit for trainers: what reaches the loss must be what the engine did.

A framework's own tests import it. They give a function that makes the trainer's rows of a group of
rollouts, and get an error that names the case, the row and the token if a row is wrong.

    from athlos.testing.trainer_contract import Row, check_adapter

    def project(case):
        return [Row(...) for sample in my_framework(case.rollouts, case.failures)]

    def test_our_rows_are_true():
        check_adapter(project, advantages="grpo")

It knows nothing of how an adapter works: every sampled token of a case has an id of its own, so a
row says by itself which calls it is made of.
"""

from athlos.testing.trainer_contract.baselines import baseline
from athlos.testing.trainer_contract.cases import NAMED, Case, cases, random_case
from athlos.testing.trainer_contract.checks import (
    ContractError,
    Row,
    check_adapter,
    check_rows,
    check_staleness,
)

__all__ = [
    "NAMED",
    "Case",
    "ContractError",
    "Row",
    "baseline",
    "cases",
    "check_adapter",
    "check_rows",
    "check_staleness",
    "random_case",
]
