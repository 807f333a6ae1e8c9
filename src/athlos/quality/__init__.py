"""The quality gate: tries to break an environment's verifier before a model does.

from athlos.testing import check_environment

check_environment("./counter.py", limit=5).assert_passed()
"""

from athlos.quality.gate import check_environment, gate
from athlos.quality.report import Cost, Finding, GateReport, Rate

__all__ = ["Cost", "Finding", "GateReport", "Rate", "check_environment", "gate"]
