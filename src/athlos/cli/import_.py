"""`athlos import`: configurations of other systems as run files."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from athlos.cli.terminal import printable
from athlos.cli.yaml_text import read_yaml
from athlos.connect.nemo_gym_servers import SERVER_TYPES
from athlos.errors import ConfigError

if TYPE_CHECKING:
    from athlos.connect.nemo_gym_import import Imported
    from athlos.connect.nemo_gym_yaml import GymYaml

_EPILOG = """\b
Examples:
  athlos import nemo-gym my_weather.yaml --out run.yaml
  athlos import nemo-gym math.yaml --agent math_agent --dataset example --set policy_model.port=1
  athlos run --config run.yaml
"""


@click.group("import")
def command() -> None:
    """Turn a configuration of another system into a run file."""


@command.command("nemo-gym", epilog=_EPILOG)
@click.argument("path", metavar="PATH.yaml")
@click.option("--out", metavar="FILE", help="The run file. [standard output]")
@click.option("--agent", metavar="NAME", help="Which agent of the file, if it has several.")
@click.option("--dataset", metavar="NAME", help="Which of its data sets. [a benchmark, if any]")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE",
    help="Gives or replaces a value, by its dotted name.",
)  # fmt: skip
@click.option(
    "--search-dir", multiple=True, metavar="DIR", help="Where relative paths are looked up first."
)
@click.option("--env-file", metavar="FILE", help="In the place of env.yaml.")
@click.option(
    "--remote", is_flag=True, help="Keep to its server, even if the library has the environment."
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--resolved", is_flag=True, help="Print the resolved values only, secrets masked.")
def nemo_gym(
    path: str,
    out: str | None,
    agent: str | None,
    dataset: str | None,
    assignments: tuple[str, ...],
    search_dir: tuple[str, ...],
    env_file: str | None,
    remote: bool,
    force: bool,
    resolved: bool,
) -> None:
    """Turn a configuration of NeMo Gym into a run file, and account for every key of it."""
    from athlos.connect.nemo_gym_import import import_gym_yaml
    from athlos.connect.nemo_gym_yaml import load_gym_yaml, masked

    made = load_gym_yaml(
        Path(path),
        read_yaml,
        overrides=dict(_assignment(one) for one in assignments),
        search=[Path(one) for one in search_dir],
        env_file=Path(env_file) if env_file else None,
    )
    if resolved:
        click.echo(_dump(masked(made.values)), nl=False)
        return
    if out:
        _refuse(Path(out), force)
    imported = import_gym_yaml(made, _settings_of, agent=agent, dataset=dataset, remote=remote)
    _complete(made, imported, Path(out) if out else None, force)
    text = f"# from {Path(path).name}, by athlos import nemo-gym\n{_dump(imported.settings)}"
    if out is None:
        click.echo(text, nl=False)
        sys.stdout.flush()
    else:
        try:
            Path(out).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {out}: {error.strerror}") from error
    click.echo(printable(_report(imported, out)), err=True)


def _settings_of(name: str) -> set[str] | None:
    """The settings of an environment of the library; None if it has none of that name."""
    from athlos.registry import listing, load

    if name not in [listed.name for listed in listing() if listed.source == "library"]:
        return None
    return {field.encode_name for field in msgspec.structs.fields(load(name).Config)}


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.lstrip("+").partition("=")
    if not (key and equals):
        raise ConfigError(f"--set {text}: write KEY=VALUE")
    return key, read_yaml(value, f"--set {key}")


def _dump(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text


def _refuse(path: Path, force: bool) -> None:
    """Nothing that is there is written over, unless by force."""
    if path.is_file() and not force:
        raise ConfigError(f"{path} is there already", hint="--force writes over it.")


def _complete(made: GymYaml, imported: Imported, out: Path | None, force: bool) -> None:
    """Writes the rows that a prompt configuration completes, beside the run file."""
    from athlos.connect.nemo_gym_prompts import complete_rows
    from athlos.connect.nemo_gym_yaml import find_file

    name = imported.prompt_config
    if not name:
        return
    tasks = find_file(str(imported.settings.get("tasks", "")), made.roots)
    template = find_file(name, made.roots)
    if tasks is None or template is None or out is None:
        missing = "--out" if out is None else name if template is None else "the data set"
        imported.notes.append(f"the rows need {name}, which was not applied: {missing} is missing")
        return
    prompt = read_yaml(template.read_text(encoding="utf-8"), str(template))
    if not isinstance(prompt, dict):
        raise ConfigError(f"{template} must hold keys and values, `user` and `system`")
    target = out.with_suffix(".tasks.jsonl")
    _refuse(target, force)
    encoder = msgspec.json.Encoder()
    try:
        with target.open("wb") as file:
            for row in complete_rows(_rows(tasks), prompt, str(tasks)):
                file.write(encoder.encode(row) + b"\n")
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from error
    imported.settings["tasks"] = str(target)
    imported.notes.append(f"{target} has the rows of {tasks}, completed by {template}")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield msgspec.json.decode(line, type=dict)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{path}:{number}: no JSON object: {error}") from error


def _report(imported: Imported, out: str | None) -> str:
    """What became of every key, server by server."""
    lines = [f"wrote {out}"] if out else []
    if imported.used:
        lines.append("used:")
        for place, keys in _by_server(imported.used).items():
            lines += _pairs(place, keys)
    if imported.server:
        lines.append("left to the server and its launcher:")
        for place, keys in _by_server([(key, "") for key in imported.server]).items():
            lines += _names(place, [key for key, _ in keys], "")
    if imported.dropped:
        lines.append("not used:")
        for place, keys in _by_server(imported.dropped).items():
            for why in dict.fromkeys(why for _, why in keys):
                lines += _names(place, [key for key, one in keys if one == why], why)
    lines += [f"note: {note}" for note in imported.notes]
    return "\n".join(lines)


def _by_server(keys: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Keys without the three levels that lead to a server, by these; "" has those of no server."""
    found: dict[str, list[tuple[str, str]]] = {}
    for key, what in keys:
        parts = key.split(".", 3)
        if len(parts) > 2 and parts[1] in SERVER_TYPES:
            place, rest = ".".join(parts[:3]), parts[3] if len(parts) > 3 else ""
        else:
            place, rest = "", key
        found.setdefault(place, []).append((rest, what))
    return found


def _pairs(place: str, keys: list[tuple[str, str]]) -> list[str]:
    """A key a line, with what it became."""
    whole = "; ".join(what for key, what in keys if not key)
    lines = [f"  {place}{': ' if whole else ''}{whole}"] if place else []
    indent = "    " if place else "  "
    width = max(len(key) for key, _ in keys)
    return lines + [f"{indent}{key:<{width}}  {what}" for key, what in keys if key]


def _names(place: str, keys: list[str], why: str) -> list[str]:
    """Keys one after another, with what they have in common."""
    indent = "    " if place else "  "
    lines = [f"  {place}{': ' if why else ''}{why}"] if place else []
    named = ", ".join(key for key in keys if key)
    if named and not place and why:
        named = f"{named}: {why}"
    wrapped = textwrap.wrap(
        named, 96, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    return lines + wrapped
