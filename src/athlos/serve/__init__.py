"""Environments behind HTTP: the protocol of NeMo Gym's servers, with sessions that end."""

from athlos.serve.options import EnvOptions, Options, Policy
from athlos.serve.server import Server

__all__ = ["EnvOptions", "Options", "Policy", "Server"]
