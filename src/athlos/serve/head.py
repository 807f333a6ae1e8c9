"""NeMo Gym's head server: where its clients find out which servers there are. Secrets are masked.

Source: the NeMo Gym protocol; it resolves a server's name to the host and port of its entry.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from athlos.serve.mount import Mount
from athlos.serve.options import Options, Policy

__all__ = ["config_yaml", "instances", "mask"]

_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_IN_URL = re.compile(r"//[^/@\s]+@")
_IN_QUERY = re.compile(r"(?<=[?&])([^=&#\s]+=)[^&#\s]+")
_MASK = "***"


def mask(value: Any, name: str = "") -> Any:
    """The value without what looks like a secret: by its name, or within a URL."""
    if isinstance(value, Mapping):
        return {str(key): mask(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [mask(inner, name) for inner in value]
    if isinstance(value, str):
        if _SECRET.search(name) and not name.endswith("_env") and value:
            return _MASK
        return _URL.sub(_mask_url, value)
    return value


def _mask_url(found: re.Match[str]) -> str:
    return _IN_QUERY.sub(rf"\1{_MASK}", _IN_URL.sub(f"//{_MASK}@", found[0]))


def config_yaml(options: Options, mounts: Sequence[Mount], host: str, port: int) -> str:
    """The configuration in NeMo Gym's three-level form."""
    place = {"host": host, "port": port}
    config: dict[str, Any] = {"head_server": dict(place)}
    for mount, given in zip(mounts, options.environments, strict=True):
        entry = {"entrypoint": "app.py", "domain": "other", **place}
        if mount.prefix:
            entry["url_path"] = mount.prefix
        settings = {"reference": mask(given.reference), "settings": mask(given.settings)}
        config[mount.name] = {"resources_servers": {mount.name: {**entry, **settings}}}
        if mount.has_agent:
            agent = {
                **entry,
                "resources_server": {"type": "resources_servers", "name": mount.name},
                "model_server": {"type": "responses_api_models", "name": "policy_model"},
                "max_steps": options.max_turns,
            }
            config[f"{mount.name}_agent"] = {"responses_api_agents": {"athlos": agent}}
            # its collector reaches an agent through an environment server only: `/run` is both
            front = {"type": "responses_api_agents", "name": f"{mount.name}_agent"}
            config[f"{mount.name}_environment_server"] = {
                "environment_servers": {
                    "legacy_agent": {"entrypoint": "app.py", **place, "agent_server": front}
                }
            }
    if options.policy is not None:
        config["policy"] = _policy(options.policy)
    for role, policy in options.models.items():
        config.setdefault("models", {})[role] = _policy(policy)
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def instances(
    mounts: Sequence[Mount], host: str, port: int, url: str, started: float
) -> list[dict[str, Any]]:
    """What is running, in the shape of NeMo Gym's `/server_instances`."""
    found = []
    for mount in mounts:
        kinds = [("resources_servers", mount.name, mount.name)]
        if mount.has_agent:
            kinds.append(("responses_api_agents", f"{mount.name}_agent", "athlos"))
            name = f"{mount.name}_environment_server"
            kinds.append(("environment_servers", name, "legacy_agent"))
        for kind, process, name in kinds:
            entry = {
                "config_path": process, "dir_path": None, "entrypoint": None, "host": host,
                "name": name, "pid": os.getpid(), "port": port, "process_name": process,
                "server_type": kind, "start_time": started, "status": "success",
                "uptime_seconds": time.time() - started, "url": url + mount.prefix,
            }  # fmt: skip
            found.append(entry)
    return found


def _policy(policy: Policy) -> Any:
    return {**mask(msgspec.to_builtins(policy)), "tokens": policy.tokens}  # a mode, no secret
