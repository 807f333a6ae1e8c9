"""An endpoint for any agent: what it asks the model for is answered, and recorded as a rollout."""

from athlos.gateway.lease import Lease
from athlos.gateway.server import Gateway

__all__ = ["Gateway", "Lease"]
