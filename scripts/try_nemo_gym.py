"""Runs NeMo Gym and Athlos against each other, in both directions, and prints a transcript.

The same rows, of NeMo Gym's own example data, and the same scripted replies of a stub model server
are scored in six ways:

    run       athlos run ENVIRONMENT, without NeMo Gym
    serve     NeMo Gym's collector and simple_agent, against `athlos serve ENVIRONMENT`
    direct    NeMo Gym's collector, against the agent and the head of `athlos serve`
    theirs    NeMo Gym's collector and simple_agent, against its own resources server
    server    athlos run nemo-gym+http://..., against that resources server
    agent     athlos run nemo-gym-agent+http://..., against that agent server

All must give the same rewards. Then NeMo Gym's tools read what `athlos export` wrote of the runs.

NeMo Gym is not installed here: it needs a Python of its own, which --python names. Its servers use
that Python, too; nothing is installed. A wrapper that runs Python in a container will do, if --work
is a folder that both see under one name, and if both have the same loopback interface.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nemo_gym_trial import SERVED, STEPS, TOOLS, gym_config, policy, question, script

from athlos.testing.stub import stub_server

HERE = Path(__file__).resolve().parent.parent
ATHLOS = [sys.executable, "-m", "athlos"]
VARIABLE = "ATHLOS_NEMO_GYM_PYTHON"
GYM = "from nemo_gym.cli.main import main; main()"
FACTS = """
import json, sys, importlib.metadata, importlib.util
from pathlib import Path
root = Path(importlib.util.find_spec("nemo_gym").origin).parents[1]
rows = {}
for name in sys.argv[1:]:
    text = (root / "resources_servers" / name / "data" / "example.jsonl").read_text()
    rows[name] = [json.loads(line) for line in text.splitlines()]
facts = {"version": importlib.metadata.version("nemo-gym"), "prefix": sys.prefix, "rows": rows}
print("FACTS" + json.dumps(facts))
"""
START_LIMIT, RUN_LIMIT = 600, 600  # seconds; its imports alone take a minute or two


class Failed(Exception):
    """What a person has to know; without a traceback."""


def main() -> int:
    """Goes through all of it."""
    parser = argparse.ArgumentParser(
        prog="try-nemo-gym", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--python", default=os.environ.get(VARIABLE, ""), metavar="PATH",
        help=f"a Python that has nemo-gym, or a wrapper of one [${VARIABLE}]",
    )  # fmt: skip
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="for all files [a temporary folder]"
    )
    parser.add_argument("--tasks", type=int, default=4, metavar="N", help="of each kind [4]")
    parser.add_argument("--samples", type=int, default=2, metavar="N", help="of each task [2]")
    options = parser.parse_args()
    try:
        with ExitStack() as stack:
            if options.work is None:
                options.work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            return Trial(options, stack).run()
    except Failed as failed:
        sys.stderr.write(f"try-nemo-gym: {failed}\n")
        return 2


class Trial:
    """One go through everything."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        if not options.python:
            raise Failed(f"no NeMo Gym: --python PATH or {VARIABLE} names a Python that has it")
        self.python = options.python
        self.work = options.work.resolve()
        self.limit, self.samples = options.tasks, options.samples
        self.stack = stack
        self.rewards: dict[tuple[str, str], dict[tuple[int, int], float]] = {}

    def run(self) -> int:
        """Everything; returns the exit status."""
        self.work.mkdir(parents=True, exist_ok=True)
        facts = self.facts()
        say(f"NeMo Gym {facts['version']}")
        rows = {name: found[: self.limit] for name, found in facts["rows"].items()}
        for name, found in rows.items():
            lines = [json.dumps({k: v for k, v in r.items() if k != "agent_ref"}) for r in found]
            (self.work / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        replies = {question(row): script(name, n, row)
                   for name, found in rows.items() for n, row in enumerate(found)}  # fmt: skip
        stub = self.stack.enter_context(
            stub_server("vllm", tokenizer=HERE / "tests/data/tiny", policy=policy(replies))
        )
        model = ["--base-url", stub.url, "--model", "tiny"]
        head(f"A stub model server says what was written for each row: {stub.url}")

        head("athlos serve, an environment with tools and one without")
        ports = {name: self.serve(name, model) for name in SERVED}
        head("gym env start: agents of NeMo Gym for these, and its own servers")
        servers = self.start_gym(ports, stub.url, facts["prefix"])

        for name in SERVED:
            rows_file = f"{name}.jsonl"
            head(f"{name}: athlos run, without NeMo Gym")
            self.athlos_run("run", name, name, rows_file, model)
            head(f"{name}: NeMo Gym's collector and simple_agent on athlos serve")
            self.collect("serve", name, f"athlos_{name}_agent", rows_file)
            head(f"{name}: NeMo Gym's collector on the agent of athlos serve")
            self.collect("direct", name, f"{name}_agent", rows_file, ports[name])
            self.tokens("direct", name)
            head(f"{name}: NeMo Gym's collector and simple_agent on its own server")
            agent = f"{name}_simple_agent"
            self.collect("theirs", name, agent, rows_file)
            head(f"{name}: athlos run on NeMo Gym's resources server")
            own = name if name in servers else f"{name}_resources_server"
            self.athlos_run("server", name, f"nemo-gym+{servers[own]}", rows_file, model)
            head(f"{name}: athlos run on NeMo Gym's agent server")
            self.athlos_run("agent", name, f"nemo-gym-agent+{servers[agent]}", rows_file, model)
        head(f"{STEPS}: reset and step, both ways round")
        self.collect("theirs", STEPS, f"{STEPS}_agent", f"{STEPS}.jsonl")
        self.athlos_run("server", STEPS, f"nemo-gym+{servers[STEPS]}", f"{STEPS}.jsonl", model)

        head("gym eval profile, on what athlos export wrote")
        for name in SERVED:
            self.profile("run", name)
        return self.verdict()

    # -- NeMo Gym

    def facts(self) -> dict[str, Any]:
        """The version of NeMo Gym, where its Python is, and its example rows."""
        names = (*SERVED, STEPS)
        try:
            done = subprocess.run(  # noqa: S603 - what the user named
                [self.python, "-c", FACTS, *names], cwd=self.work, capture_output=True,
                text=True, timeout=RUN_LIMIT, check=False,
            )  # fmt: skip
        except OSError as error:
            raise Failed(f"{self.python} cannot be run: {error.strerror}") from error
        found = re.search(r"^FACTS(.*)$", done.stdout, re.MULTILINE)
        if found is None:
            said = done.stderr.strip().rpartition("\n")[2]
            raise Failed(f"{self.python} has no usable nemo-gym: {said}")
        facts: dict[str, Any] = json.loads(found[1])
        return facts

    def start_gym(self, ports: dict[str, int], model: str, prefix: str) -> dict[str, str]:
        """Starts its servers; returns their addresses by name."""
        port = free_port()
        config = gym_config(ports, model)
        config |= {"head_server": {"port": port}, "skip_venv_if_present": True}
        config["uv_venv_dir"] = str(self.work / "venvs")
        (self.work / "gym.yaml").write_text(json.dumps(config, indent=2))  # JSON is YAML
        placeholder = self.work / "resources_servers" / "athlos_serve"
        placeholder.mkdir(parents=True, exist_ok=True)
        (placeholder / "requirements.txt").touch()
        (placeholder / "wait.py").write_text("import signal\nsignal.pause()\n")
        for place in (
            *(f"resources_servers/{name}" for name in ("athlos_serve", *SERVED, STEPS)),
            "responses_api_agents/simple_agent", "responses_api_agents/gymnasium_agent",
            "responses_api_models/vllm_model", "environment_servers/legacy_agent",
        ):  # fmt: skip
            link = self.work / "venvs" / place / ".venv"
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(prefix)  # one Python for all of them, nothing to install
        for name in [f"athlos_{name}" for name in ports] + [f"athlos_{TOOLS}_agent"]:
            say(f"  {name}: {json.dumps(config[name]).replace(chr(34), '')}")
        say("$ gym env start --config gym.yaml")
        log = self.work / "gym.log"
        command = [self.python, "-c", GYM, "env", "start", "--config", str(self.work / "gym.yaml")]
        process = self.stack.enter_context(running(command, log, self.work))
        self.head = port
        waited(process, log, r"All \d+ / \d+ servers ready", START_LIMIT)
        for line in re.findall(r"^.*All \d+ / \d+ servers ready.*$", log.read_text(), re.M):
            say(line)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_instances", timeout=60) as got:
            return {one["process_name"]: one["url"] for one in json.load(got)}

    def gym(self, *arguments: str) -> str:
        """Runs a command of NeMo Gym's."""
        command = [self.python, "-c", GYM, *arguments]
        self.show("gym", arguments)
        done = subprocess.run(  # noqa: S603 - what the user named
            command, cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=RUN_LIMIT, check=False,
        )  # fmt: skip
        with (self.work / "commands.log").open("a") as file:
            file.write(f"$ gym {' '.join(arguments)}\n{done.stdout}\n")
        if done.returncode:
            raise Failed(f"gym ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout

    def collect(self, way: str, name: str, agent: str, rows: str, port: int = 0) -> None:
        """Has NeMo Gym's collector drive an agent that the head server at a port knows."""
        out = f"{way}_{name}.jsonl"
        self.gym(
            "eval", "run", "--no-serve", "--agent", agent, "--input", rows, "--output", out,
            "--num-repeats", str(self.samples), f"++head_server.port={port or self.head}",
        )  # fmt: skip
        self.take(way, name, self.work / out)

    def profile(self, way: str, name: str) -> None:
        """Has NeMo Gym read the files of an export, and compares its figures with ours."""
        rows = f"{way}_{name}.jsonl"
        inputs = f"{way}_{name}_materialized_inputs.jsonl"
        self.gym("eval", "profile", "--rollouts", rows, "--inputs", inputs)
        stem = self.work / f"{way}_{name}"
        (theirs,) = json.loads(Path(f"{stem}_agent_metrics.json").read_text())
        (ours,) = json.loads(Path(f"{stem}_aggregate_metrics.json").read_text())
        figures = ours["agent_metrics"]
        wrong = [key for key, value in figures.items() if not close(value, theirs.get(key))]
        if wrong:
            raise Failed(f"figures differ: {wrong}")
        say(f"  all {len(figures)} figures of {stem.name}_aggregate_metrics.json are as it says; "
            f"mean/reward is {theirs['mean/reward']:g}")  # fmt: skip

    # -- Athlos

    def serve(self, name: str, model: list[str]) -> int:
        """Serves an environment; returns the port."""
        port = free_port()
        options = ["--port", str(port), "--no-auth", *model, "--tokens", "capture"]
        self.show("athlos", ("serve", name, *options))
        log = self.work / f"serve_{name}.log"
        command = [*ATHLOS, "serve", name, *options]
        process = self.stack.enter_context(running(command, log, self.work))
        waited(process, log, "serving ", 60)
        return port

    def athlos_run(
        self, way: str, name: str, environment: str, rows: str, model: list[str]
    ) -> None:
        """Has `athlos run` and `athlos export` do it."""
        folder = f"runs/{way}_{name}"
        out = f"{way}_{name}.jsonl"
        self.athlos("run", environment, "--tasks", rows, *model, "--samples", str(self.samples),
                    "--out", folder)  # fmt: skip
        self.athlos("export", folder, "--format", "nemo-gym", "--out", out)
        self.take(way, name, self.work / out)

    def athlos(self, *arguments: str) -> None:
        """Runs a command of Athlos."""
        self.show("athlos", arguments)
        done = subprocess.run(  # noqa: S603 - what the user named
            [*ATHLOS, *arguments], cwd=self.work, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=RUN_LIMIT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"athlos {arguments[0]} ended with {done.returncode}:\n{done.stdout}")

    # -- what came of it

    def show(self, program: str, words: tuple[str, ...]) -> None:
        """Prints a command, in lines of a bearable length."""
        lines = [f"$ {program}"]
        for option in pairs(words):
            if len(lines[-1]) + len(option) > 90:
                lines[-1] += " \\"
                lines.append("   ")
            lines[-1] += f" {option}"
        say("\n".join(lines))

    def tokens(self, way: str, name: str) -> None:
        """Says how many calls of the model came back with their token ids."""
        rows = [json.loads(line) for line in (self.work / f"{way}_{name}.jsonl").open()]
        items = [item for row in rows for item in row["response"]["output"]]
        said = [item for item in items if item["type"] != "function_call_output"]
        have = [item for item in said if item.get("generation_token_ids")]
        say(f"  {len(have)} of {len(said)} calls have token ids")

    def take(self, way: str, name: str, path: Path) -> None:
        """Keeps the rewards of a file of rollouts."""
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found = {(r["_ng_task_index"], r["_ng_rollout_index"]): float(r["reward"]) for r in rows}
        self.rewards[way, name] = found
        said = " ".join(f"{found[place]:g}" for place in sorted(found))
        say(f"  rewards, by task and sample: {said}")

    def verdict(self) -> int:
        """Compares all ways with each other."""
        head("The rewards of all ways")
        status = 0
        for name in (*SERVED, STEPS):
            ways = {way: found for (way, one), found in self.rewards.items() if one == name}
            same = len({tuple(sorted(found.items())) for found in ways.values()}) == 1
            counts = {len(found) for found in ways.values()}
            said = f"{'equal' if same else 'DIFFERENT'}, {'/'.join(map(str, counts))} rollouts each"
            say(f"{name}: {', '.join(ways)}: {said}")
            status |= not same or counts != {self.samples * self.limit}
        return status


# -- processes and words


@contextmanager
def running(command: list[str], log: Path, folder: Path) -> Any:
    """A process in a group of its own, which ends with it."""
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - what the user named
            command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        for number, patience in ((signal.SIGINT, 60), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if process.poll() is not None and number != signal.SIGKILL:
                continue
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue


def waited(process: Any, log: Path, wanted: str, limit: float) -> None:
    """Waits until a process has said something."""
    end = time.monotonic() + limit
    while not re.search(wanted, log.read_text(errors="replace")):
        ended = process.poll() is not None
        if ended or time.monotonic() > end:
            what = "ended" if ended else f"was not ready within {limit} s"
            raise Failed(f"{process.args[0]} {what}:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def pairs(words: tuple[str, ...]) -> list[str]:
    """Options with their values, one text each."""
    found: list[str] = []
    for word in words:
        if found and not word.startswith(("-", "+")):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def close(ours: Any, theirs: Any) -> bool:
    """Whether two figures are the same but for rounding."""
    return theirs is not None and abs(float(ours) - float(theirs)) <= 1e-6 * max(1, abs(ours))


def head(text: str) -> None:
    """Begins a part of the transcript."""
    say(f"\n# {text}")


def say(*words: str) -> None:
    """Prints a line."""
    sys.stdout.write(f"{' '.join(words)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
