"""Model clients: how a policy, a judge or a simulated user is asked."""

from athlos.models.budget import Budget
from athlos.models.client import Model
from athlos.models.deadlines import Deadlines
from athlos.models.retry import Retry
from athlos.models.session import Session

__all__ = ["Budget", "Deadlines", "Model", "Retry", "Session"]
