"""A stub model server: real HTTP, a real tokenizer and chat template, and a scripted "model".

from athlos.testing.stub import stub_server

with stub_server("vllm", tokenizer=folder, drift={"merge"}) as stub:
    model = Model(stub.url, "tiny")

It answers in the dialect of a server that returns token ids, and misbehaves as such servers do.
Needs the packages `tokenizers` and `jinja2`.
"""

from athlos.testing.stub.drift import DRIFTS
from athlos.testing.stub.faults import StubFaults
from athlos.testing.stub.http import Counters
from athlos.testing.stub.policy import Policy, ToolPolicy, call_text, turns
from athlos.testing.stub.server import DIALECTS, StubServer, stub_server
from athlos.testing.stub.view import Sampling, View

__all__ = [
    "DIALECTS",
    "DRIFTS",
    "Counters",
    "Policy",
    "Sampling",
    "StubFaults",
    "StubServer",
    "ToolPolicy",
    "View",
    "call_text",
    "stub_server",
    "turns",
]
