"""A real vLLM server on the CPU with the tiny model: started, waited for, ended with its children.

    ATHLOS_VLLM=ENVIRONMENT python tests/backends/vllm_server.py PORT [arguments of vllm serve]

serves in the foreground until Ctrl-C. Only the standard library, so that it runs anywhere.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / ".backends" / "tiny"
NAME = "tiny"
TRAIN_SECONDS = 1800.0  # three minutes on a quiet machine of two cores
START_SECONDS = 600.0  # a minute on a quiet machine of two cores
STOP_SECONDS = 20.0

# What the model thinks is a field of its own, and a regex holds for the thinking, too.
REASONING = (
    "--reasoning-parser",
    "qwen3",
    "--structured-outputs-config",
    '{"enable_in_reasoning": true}',
)


class ServerError(Exception):
    """The server did not start; the message has the end of its log."""


def environment() -> Path | None:
    """The virtual environment that has vLLM, from `ATHLOS_VLLM`; None if that is not set.

    Raises:
        ServerError: There is no vLLM in it.
    """
    named = os.environ.get("ATHLOS_VLLM")
    if not named:
        return None
    if not (Path(named) / "bin" / "vllm").exists():
        raise ServerError(
            f"ATHLOS_VLLM is {named}, and there is no bin/vllm in it. "
            "`bash scripts/test-backends` makes an environment that has it."
        )
    return Path(named).resolve()


def make_model(env: Path) -> Path:
    """The folder of the tiny model; made if it is missing or older than what makes it."""
    maker = ROOT / "scripts" / "tiny_model.py"
    tokenizer = ROOT / "tests" / "data" / "tiny"
    weights = MODEL / "model.safetensors"
    sources = [maker, maker.with_name("tiny_lessons.py"), *tokenizer.iterdir()]
    if weights.exists() and all(
        source.stat().st_mtime <= weights.stat().st_mtime for source in sources
    ):
        return MODEL
    part = MODEL.with_name(f"tiny.{os.getpid()}")
    command = [str(env / "bin" / "python"), str(maker), str(part), "--weights"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TRAIN_SECONDS)
    if done.returncode:
        raise ServerError(f"the tiny model could not be made:\n{done.stderr}")
    shutil.rmtree(MODEL, ignore_errors=True)
    part.rename(MODEL)
    return MODEL


def command(env: Path, model: Path, port: int, more: Sequence[str] = ()) -> list[str]:
    """The command line of the server."""
    return [
        *(str(env / "bin" / "vllm"), "serve", str(model)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--served-model-name", NAME, "--max-model-len", "2048"),
        *("--dtype", "float32", "--enforce-eager"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
        *("--logprobs-mode", "processed_logprobs", "--enable-scale-out"),
        *more,
    ]


def variables(env: Path) -> dict[str, str]:
    """The server's environment variables: few, so that no setting of the caller gets in."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "PATH": f"{env / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_SERVER_DEV_MODE": "1",  # pausing, weight versions
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def session_members(session: int) -> list[int]:
    """The living processes of a session: the server renames its children, but they stay in it."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, IndexError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                members.append(int(entry.name))
    return members


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a server that was started in a session of its own, with everything it started."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    deadline = time.monotonic() + STOP_SECONDS
    while (left := session_members(process.pid)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    process.wait(STOP_SECONDS)


def wait_for_health(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Returns when the server answers.

    Raises:
        ServerError: It ended, or took longer than `START_SECONDS`.
    """
    deadline = time.monotonic() + START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"vLLM ended with {process.returncode}. Its log:\n{tail(log)}")
        with suppress(urllib.error.URLError, OSError), opener.open(f"{url}/health", timeout=5):
            return
        time.sleep(0.5)
    raise ServerError(f"vLLM did not answer within {START_SECONDS:.0f} s. Its log:\n{tail(log)}")


@contextmanager
def serve(env: Path, log: Path, more: Sequence[str] = ()) -> Iterator[str]:
    """Runs a server for the time of the block; gives its base URL, without `/v1`."""
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(env, make_model(env), port, more),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=variables(env),
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_health(url, process, log)
        yield url
    finally:
        stop(process)


def main() -> None:
    """Serves in the foreground."""
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        sys.exit("usage: vllm_server.py PORT [arguments of vllm serve]")
    try:
        env = environment()
        if env is None:
            sys.exit("ATHLOS_VLLM is not set: bash scripts/test-backends --serve PORT sets it")
        line = command(env, make_model(env), int(sys.argv[1]), sys.argv[2:])
    except ServerError as e:
        sys.exit(str(e))
    os.execve(line[0], line, variables(env))


if __name__ == "__main__":
    main()
