"""The check of a model server: what it can do, tried for real."""

from athlos.models.check.report import Finding, Report
from athlos.models.check.run import check_model

__all__ = ["Finding", "Report", "check_model"]
