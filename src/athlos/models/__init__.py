"""Model clients: how a policy, a judge or a simulated user is asked."""

from athlos.models.client import Deadlines, Model
from athlos.models.retry import Retry

__all__ = ["Deadlines", "Model", "Retry"]
