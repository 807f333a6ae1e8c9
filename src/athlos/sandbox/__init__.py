"""Safe execution of programs that nobody has checked, such as a model's.

    async with open_sandbox() as sandbox:
        result = await sandbox.exec("python3 -c 'print(6 * 7)'")

`Sandbox` runs programs and holds their files; `Pool` has sandboxes ready, and runs short checks
fast; `Limits` is what a program may use, `Result` what came of it. `SandboxSpec` is what an
environment asks for, `Lease` what its attempts get. A program's failure is a result; a sandbox's
failure is a `SandboxError`; a machine that cannot make sandboxes is a `ConfigError`.
"""

from athlos.sandbox.bubblewrap import Bubblewrap
from athlos.sandbox.container import Container
from athlos.sandbox.lease import Lease, Sandboxes
from athlos.sandbox.limits import Limits, Result
from athlos.sandbox.opening import open_sandbox
from athlos.sandbox.pool import Pool
from athlos.sandbox.process import Provider
from athlos.sandbox.sandbox import Entry, Sandbox
from athlos.sandbox.session import PythonSession
from athlos.sandbox.spec import SandboxSpec, asked_for
from athlos.sandbox.unisolated import Subprocess

__all__ = [
    "Bubblewrap",
    "Container",
    "Entry",
    "Lease",
    "Limits",
    "Pool",
    "Provider",
    "PythonSession",
    "Result",
    "Sandbox",
    "SandboxSpec",
    "Sandboxes",
    "Subprocess",
    "asked_for",
    "open_sandbox",
]
