"""For tests of environments: models without a server, and time without waiting.

from athlos.testing import scripted

model = scripted(call("add", amount=3), "Done.")
summary = await athlos.collect(MyEnv, model, limit=1).run()

`simulate` runs such a test in simulated time, with an interleaving that its seed decides; see
`athlos.testing.simulation`.
"""

from athlos.testing.fakes import FakeTransport, Faults, call, completions, fake_model, scripted
from athlos.testing.simulation import (
    SimulatedLoop,
    SimulationDeadlock,
    SimulationError,
    simulate,
)

__all__ = [
    "FakeTransport",
    "Faults",
    "SimulatedLoop",
    "SimulationDeadlock",
    "SimulationError",
    "call",
    "completions",
    "fake_model",
    "scripted",
    "simulate",
]
