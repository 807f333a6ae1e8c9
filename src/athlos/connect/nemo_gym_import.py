"""A NeMo Gym configuration as the settings of a run, with an account of every key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from athlos.connect.nemo_gym_account import Account, Imported
from athlos.connect.nemo_gym_servers import SERVER_TYPES
from athlos.connect.nemo_gym_values import checked
from athlos.connect.nemo_gym_yaml import GymYaml, find_file, leaves
from athlos.errors import ConfigError

__all__ = ["Imported", "import_gym_yaml"]

_ENV_VARIABLE = re.compile(r"\$\{oc\.env:\s*([A-Za-z_]\w*)\s*[,}]")
_SELECT = re.compile(r"\$\{oc\.select:\s*([\w.]+)\s*(?:,(.*))?\}")
_KINDS = ("benchmark", "validation", "test", "example", "train")
_SAMPLING = {
    "temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_tokens",
    "max_tokens": "max_tokens", "seed": "seed",
}  # fmt: skip
_LAUNCHER = (
    "allow_openai_version_skew", "allow_unsupported_pairing", "cache_dir", "default_host",
    "disallowed_ports", "dry_run", "environment_routing_mode", "environment_server_name",
    "environment_server_routes", "error_on_agent_without_environment_server",
    "error_on_almost_servers", "head_server", "head_server_deps", "hf_token",
    "model_endpoint_readiness_timeout_seconds", "nemo_gym_log_dir", "pip_install_verbose",
    "port_range_high", "port_range_low", "python_version", "ray_head_node_address",
    "results_dir", "server_spinup_timeout_seconds", "skip_venv_if_present", "use_absolute_ip",
    "uv_cache_dir", "uv_lock_timeout_seconds", "uv_pip_set_python", "uv_venv_dir", "verbose",
)  # fmt: skip
_TOP = {
    "num_repeats": "samples", "limit": "limit", "num_samples_in_parallel": "concurrency",
    "input_jsonl_fpath": "tasks",
}  # fmt: skip
_PROCESS = ("entrypoint", "host", "port", "num_workers")
_DESCRIBES = ("domain", "verified", "description", "value", "license")


Library = Callable[[str], Set[str] | None]


def import_gym_yaml(
    made: GymYaml,
    library: Library,
    *,
    agent: str | None = None,
    dataset: str | None = None,
    remote: bool = False,
) -> Imported:
    """The settings for one agent of a configuration.

    Args:
        made: The configuration.
        library: The settings of an environment that can be run here, by its name; None if there is
            none of that name.
        agent: Which agent; the only one by default.
        dataset: Which of its data sets; by default a benchmark if there is one, then data for
            validation, examples, training.
        remote: Use the resources server, even if the library has an environment of its name.

    Raises:
        ConfigError: There is no such agent or data set, or several to choose from; or a value is
            none that a run can have.
    """
    return _Import(made, library, agent, dataset, remote).run()


class _Import(Account):
    def __init__(
        self,
        made: GymYaml,
        library: Library,
        agent: str | None,
        dataset: str | None,
        remote: bool,
    ) -> None:
        super().__init__()
        self._made = made
        self._library = library
        self._wanted = dataset
        self._remote = remote
        self._agent = _choose(made, agent)

    def run(self) -> Imported:
        """Goes through the agent, its servers, its data, and the rest."""
        done = self.done
        agents = self._made.servers("responses_api_agents")
        kind, settings = agents[self._agent]
        where = f"{self._agent}.responses_api_agents.{kind}"
        self._resources(settings, where)
        self._model(settings, where)
        self._own(settings, where, kind)
        self._datasets(settings, where)
        self._top()
        for place, settings in self._fronts():  # drives the agent, as the engine does here
            for key in settings:
                if not self.is_seen(f"{place}.{key}"):
                    self.serves(f"{place}.{key}", settings, key)
        for name in self._made.values:
            self._rest(name)
        for key in [key for key, _ in leaves(self._made.values)]:
            if not self.is_seen(key):
                self.drop(key, "there is nothing like it here")
        done.notes += self._made.notes
        return done

    # -- parts of the configuration

    def _resources(self, agent: Mapping[str, Any], where: str) -> None:
        name = _reference(agent, "resources_server") or self._behind(agent)
        done = self.done
        if name is None:
            done.notes.append(
                f"agent {self._agent} has its environment in itself: start its server, and name "
                "it: athlos run nemo-gym-agent+http://HOST:PORT"
            )
            return
        kind, settings = self._made.servers("resources_servers")[name]
        place = f"{name}.resources_servers.{kind}"
        if "resources_server" in agent:
            self.use(f"{where}.resources_server", "environment")
        here = None if self._remote else self._library(kind)
        if here is not None:
            done.settings["environment"] = kind
            self.use(place, f"environment: {kind}, of the library", whole=False)
            for key in (*_PROCESS, *_DESCRIBES):
                self.serves(f"{place}.{key}", settings, key)
            self._judges(settings, place)
            for key in [key for key in settings if key in here]:
                done.settings.setdefault("env", {})[key] = settings[key]
                self.use(f"{place}.{key}", f"env.{key}")
            return
        if settings.get("port") is not None:
            self._address(settings, place)
        else:
            done.notes.append(
                f"server {name} has no fixed port: start it, and give its address with the "
                "command: athlos run nemo-gym+http://HOST:PORT --config FILE"
            )
        for key in settings:
            if not self.is_seen(f"{place}.{key}"):
                self.serves(f"{place}.{key}", settings, key)

    def _address(self, settings: Mapping[str, Any], place: str) -> None:
        """The environment is at the server's port, on its host or on that of all servers."""
        host, at = settings.get("host"), f"{place}.host"
        if not host:
            host, at = self._made.values.get("default_host"), "default_host"
        port = checked(self._made.name, f"{place}.port", settings["port"], "port")
        name = checked(self._made.name, at, host, "host") if host else "127.0.0.1"
        self.done.settings["environment"] = f"nemo-gym+http://{name}:{port}"
        became = f"environment: {self.done.settings['environment']}"
        if host:
            self.use(at, became)
        self.use(f"{place}.port", became)

    def _fronts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The environment servers that drive the agent: where each stands, and its settings."""
        for name, (kind, settings) in self._made.servers("environment_servers").items():
            if self._agent in [_reference(settings, key) for key in settings]:
                yield f"{name}.environment_servers.{kind}", settings

    def _behind(self, agent: Mapping[str, Any]) -> str | None:
        """The resources server that an environment server gives to the agent."""
        for place, settings in self._fronts():
            if name := _reference(settings, "resources_server"):
                self.use(f"{place}.resources_server", "environment")
                return name
        return None

    def _judges(self, settings: Mapping[str, Any], place: str) -> None:
        """Models that an environment asks itself become roles."""
        for key in settings:
            model = _reference(settings, key)
            if model is None or model not in self._made.servers("responses_api_models"):
                continue
            role = key.removesuffix("_model_server").removesuffix("_server") or "judge"
            self.use(f"{place}.{key}", f"models.{role}")
            self.done.settings.setdefault("models", {})[role] = self._backend(
                model, f"models.{role}."
            )

    def _model(self, agent: Mapping[str, Any], where: str) -> None:
        name = _reference(agent, "model_server")
        if name is None:
            self.done.notes.append("no model server is named: give --model and --base-url")
            return
        self.use(f"{where}.model_server", "model, base_url")
        self.done.settings |= self._backend(name, "")

    def _backend(self, name: str, prefix: str) -> dict[str, Any]:
        """The settings of a model, from those of its server."""
        kind, settings = self._made.servers("responses_api_models")[name]
        place = f"{name}.responses_api_models.{kind}"
        found: dict[str, Any] = {}
        for key, value in settings.items():
            at = f"{place}.{key}"
            if key in _PROCESS:
                self.serves(at, settings, key)
            elif key.endswith("base_url"):
                self._take(at, value, "base_url", found, prefix)
            elif key.endswith("api_key"):
                self._key(at, value, found, prefix)
            elif key in ("model", f"{kind.removesuffix('_model')}_model"):
                self._take(at, value, "model", found, prefix)
            elif key == "return_token_id_information" and not prefix:
                if value is True:
                    found["tokens"] = "capture"
                self.use(at, "tokens: capture" if value is True else "tokens: off")
            elif key in ("sampling_overrides", "extra_body") and isinstance(value, dict):
                for one, inner in value.items():
                    ours = _SAMPLING.get(str(one), str(one))
                    into = found.setdefault("sampling", {})
                    self._take(f"{at}.{one}", inner, ours, into, f"{prefix}sampling.")
            elif key == "chat_template_kwargs" and value:
                found.setdefault("sampling", {})[key] = value
                self.use(at, f"{prefix}sampling.{key}")
            else:
                self.drop(at, "how that server talks to its backend")
        return found

    def _key(self, at: str, value: Any, found: dict[str, Any], prefix: str) -> None:
        """The name of the variable that holds a key; the key itself is written nowhere."""
        variable = self._variable(at)
        if variable:
            found["api_key_env"] = variable
            self.use(at, f"{prefix}api_key_env: {variable}")
            return
        if not value:
            self.use(at, "nothing: there is no key")
            return
        self.use(at, f"{prefix}api_key_env, by hand: its value is not copied")
        self.done.notes.append(
            f"the key of {at.partition('.')[0]} is in the file: put it into a variable, "
            f"OPENAI_API_KEY or one that {prefix}api_key_env names"
        )

    def _variable(self, at: str) -> str:
        """The environment variable that a value comes from, through any number of names."""
        text: Any = _lookup(self._made.written, at)
        for _ in range(10):
            if not isinstance(text, str):
                return ""
            if found := _ENV_VARIABLE.search(text):
                return found[1]
            reference = re.fullmatch(r"\$\{([\w.]+)\}", text.strip())
            if reference is not None:
                name, default = reference[1], ""
            elif selected := _SELECT.fullmatch(text.strip()):
                name, default = selected[1], selected[2] or ""
            else:
                return ""
            self.seen.add(name)
            found_there = _lookup(self._made.written, name)
            text = default.strip() if found_there is None else found_there
        return ""

    def _own(self, agent: Mapping[str, Any], where: str, kind: str) -> None:
        for key, value in agent.items():
            at = f"{where}.{key}"
            if self.is_seen(at) or key == "datasets":
                continue
            if key in _PROCESS or key in _DESCRIBES:
                self.serves(at, agent, key)
            elif key == "max_steps":
                self._take(at, value, "max_turns")
            elif key == "token_id_capture":
                if value is True:
                    self.done.settings["tokens"] = "capture"
                self.use(at, "tokens: capture" if value is True else "tokens")
            elif key in ("resources_server", "model_server"):
                self.use(at, "see above")
            else:
                for name, _ in leaves(value, at):
                    self.drop(name, f"a setting of the agent {kind}, which the tool loop replaces")

    def _datasets(self, agent: Mapping[str, Any], where: str) -> None:
        given = agent.get("datasets")
        sets = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        if not sets:
            if self._wanted is not None:
                raise ConfigError(f"agent {self._agent} has no data sets")
            return
        names = [str(one.get("name")) for one in sets]
        chosen = _dataset(sets, names, self._wanted, self._agent)
        for number, one in enumerate(sets):
            place = f"{where}.datasets[{number}]"
            if number != chosen:
                self.seen.add(place)
                self.done.dropped.append((place, f"not chosen; --dataset {names[number]} takes it"))
                continue
            self._dataset(one, place)

    def _dataset(self, one: Mapping[str, Any], place: str) -> None:
        done = self.done
        if path := one.get("jsonl_fpath"):
            found = find_file(str(path), self._made.roots)
            done.settings["tasks"] = str(found or path)
            self.use(f"{place}.jsonl_fpath", "tasks")
            if found is None:
                done.notes.append(f"{path} is not there{_from_where(one)}")
        if "num_repeats" in one:
            self._take(f"{place}.num_repeats", one["num_repeats"], "samples")
        if one.get("prompt_config"):
            done.prompt_config = str(one["prompt_config"])
            self.use(f"{place}.prompt_config", "tasks, whose rows it completes")
        for key in [key for key in one if not self.is_seen(f"{place}.{key}")]:
            self.drop(f"{place}.{key}", "about the data set; the rows say it all")

    def _top(self) -> None:
        values, done = self._made.values, self.done
        for key, ours in _TOP.items():
            if key in values:
                self._take(key, values[key], ours)
        if values.get("num_repeats_add_seed") is True:
            done.settings.setdefault("seed", 0)
            self.use("num_repeats_add_seed", "seed: 0")
        params = values.get("responses_create_params")
        for key, value in (params if isinstance(params, dict) else {}).items():
            if name := _SAMPLING.get(key):
                self._take(f"responses_create_params.{key}", value, name)
        for key in ("policy_base_url", "policy_api_key", "policy_model_name"):
            if key in values:
                self.seen.add(key)  # only ever referred to
        if "agent_name" in values:
            self.use("agent_name", "the agent that was chosen")
        for key in _LAUNCHER:
            if not self.is_seen(key):
                self.serves(key, values, key)

    def _take(
        self, key: str, value: Any, setting: str, into: dict[str, Any] | None = None,
        prefix: str = "",
    ) -> None:  # fmt: skip
        """A value becomes a setting, of the run or `into` a part of it; null is none."""
        if value is None:
            self.drop(key, "null gives no value")
            return
        into = self.done.settings if into is None else into
        into[setting] = checked(self._made.name, key, value, setting)
        self.use(key, f"{prefix}{setting}")

    def _rest(self, name: str) -> None:
        """Servers that the chosen agent does not use."""
        for kind in SERVER_TYPES:
            found = self._made.servers(kind).get(name)
            if found is None:
                continue
            place = f"{name}.{kind}.{found[0]}"
            if not any(key == place or key.startswith(f"{place}.") for key in self.seen):
                self.seen.add(name)
                self.done.dropped.append((name, f"agent {self._agent} does not use it"))


def _choose(made: GymYaml, agent: str | None) -> str:
    agents = made.servers("responses_api_agents")
    agent = agent or made.values.get("agent_name")
    if agent is None:
        if len(agents) == 1:
            return next(iter(agents))
        if not agents:
            raise ConfigError(
                "the configuration has no agent, which would say what runs on what",
                hint="Name a file with `responses_api_agents` in it.",
            )
        raise ConfigError(
            "the configuration has several agents", hint=f"--agent NAME, of: {', '.join(agents)}"
        )
    if agent not in agents:
        close = difflib.get_close_matches(agent, agents, 1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(agents)}"
        raise ConfigError(f"the configuration has no agent {agent!r}", hint=hint)
    return agent


def _dataset(sets: list[dict[str, Any]], names: list[str], wanted: str | None, agent: str) -> int:
    if wanted is not None:
        if wanted not in names:
            raise ConfigError(
                f"agent {agent} has no data set {wanted!r}", hint=f"It has: {', '.join(names)}"
            )
        return names.index(wanted)
    kinds = [str(one.get("type")) for one in sets]
    return next((kinds.index(kind) for kind in _KINDS if kind in kinds), 0)


def _reference(settings: Mapping[str, Any], key: str) -> str | None:
    value = settings.get(key)
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def _from_where(dataset: Mapping[str, Any]) -> str:
    source = dataset.get("source") or dataset.get("huggingface_identifier")
    if isinstance(source, dict):
        said = " ".join(f"{key}={value}" for key, value in source.items())
        return f": fetch it ({said})"
    if dataset.get("prepare_script"):
        return f": {dataset['prepare_script']} makes it"
    return ""


def _lookup(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
