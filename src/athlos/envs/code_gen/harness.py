"""Runs a program on the inputs of its tests, in a sandbox; the results are compared elsewhere.

Expected outputs never enter the sandbox, so whatever a program does there, it can only give its own
answers. Each test is a process of its own; the first one that fails ends it all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from athlos import SandboxError
from athlos.sandbox import Lease, Limits, SandboxSpec

__all__ = ["PASSED", "RUNTIME_ERROR", "TIME_OUT", "WRONG", "Ran", "needs", "run_tests"]

PASSED, WRONG, TIME_OUT, RUNTIME_ERROR = 0, -2, -3, -4
_START = 20.0  # seconds beyond those of the tests
_MIB = 1 << 20
_ROOM = 65_536  # bytes of output beyond four times what is expected

# Modules whose names are there without an import: what programs for contests take for granted.
_PRELUDE = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools "
    "operator io sys json builtins typing"
)

_HARNESS = """\
import importlib, json, os, resource, select, signal, sys, threading, time, traceback
given = json.loads(sys.stdin.buffer.read())
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(50000)
name, seconds, call = given["fn_name"], given["seconds"], given["fn_name"] is not None
space = {"__builtins__": __builtins__}
for module in given["prelude"]:
    loaded = importlib.import_module(module)
    public = getattr(loaded, "__all__", None) or [n for n in vars(loaded) if n[0] != "_"]
    space.update((n, getattr(loaded, n)) for n in public)
space.update((module, sys.modules[module]) for module in given["prelude"])
space["__name__"] = "solution" if call else "__main__"

def say(code, text=None, error=""):
    print(json.dumps([code, text, error]), file=out, flush=True)

def answer(text):
    arguments = [json.loads(line) for line in text.split("\\n") if line.strip()]
    found = space["Solution"]() if "Solution" in space else None
    found = getattr(found, name) if hasattr(found, name) else space[name]
    made = found(*arguments)
    try:
        return json.dumps(made)
    except TypeError:
        return ""

def attempt(text, cap):
    os.setsid()
    resource.setrlimit(resource.RLIMIT_FSIZE, (cap, cap))
    sys.setrecursionlimit(50000)
    names = (os.devnull, os.devnull, "err") if call else ("in", "out", "err")
    for fd, path in enumerate(names):
        opened = os.open(path, os.O_WRONLY if fd else os.O_RDONLY)
        os.dup2(opened, fd)
        os.close(opened)
    result = os.open("out", os.O_WRONLY)
    os.dup2(result, 3)
    os.closerange(4, 256)
    for stream, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        space[stream] = open(fd, mode, encoding="utf-8", errors="replace", closefd=False)
        setattr(sys, stream, space[stream])
    code = 0
    try:
        try:
            exec(program, space)
            if call:
                made = answer(text)
                os.write(3, made.encode())
            threading._shutdown()
        except SystemExit:
            code = 1 if call else 0
        sys.stdout.flush()
    except BaseException:
        code = 1
        try:
            traceback.print_exc()
            sys.stderr.flush()
        except BaseException:
            pass
    os._exit(code)

def test(text, cap):
    for path, content in (("in", text), ("out", ""), ("err", "")):
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(content)
    pid = os.fork()
    if pid == 0:
        attempt(text, cap)
    ended = os.pidfd_open(pid)
    late = not select.select([ended], [], [], seconds)[0]
    os.close(ended)
    for end in (lambda: os.killpg(pid, signal.SIGKILL), lambda: os.kill(pid, signal.SIGKILL)):
        try:
            end()
        except OSError:
            pass
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if late:
        return say(-3, None, "took longer than %g s" % seconds) or False
    if code:
        with open("err", errors="replace") as file:
            error = file.read()[-1000:]
        return say(-4, None, error or "ended with code %d" % code) or False
    with open("out", encoding="utf-8", errors="replace", newline="") as file:
        say(0, file.read(cap))
    return True

try:
    program = compile(given["code"], "main.py", "exec")
except BaseException as error:
    say(-4, None, "%s: %s" % (type(error).__name__, error))
else:
    for text, cap in given["tests"]:
        if not test(text, cap):
            break
out.flush()
os._exit(0)
"""


class Ran(msgspec.Struct, frozen=True):
    """What a program did in one test.

    Attributes:
        code: `PASSED` if it ended by itself, else why not.
        output: What it printed, or the JSON of what it returned.
        error: What it said when it failed.
    """

    code: int
    output: str = ""
    error: str = ""


def needs(seconds: float) -> SandboxSpec:
    """The sandboxes for tests of at most so many seconds."""
    limits = Limits(
        seconds=seconds + _START, cpu_seconds=86_400.0, memory=1024 * _MIB, processes=48,
        output=64 * _MIB, disk=128 * _MIB,
    )  # fmt: skip
    return SandboxSpec(limits=limits, if_installed=("numpy",))


async def run_tests(
    sandbox: Lease,
    code: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    fn_name: str | None,
    seconds: float,
) -> list[Ran]:
    """Runs a program on each input until it fails: what came of each test that was run.

    Args:
        sandbox: Where.
        code: The program.
        inputs: Standard input of each test, or its arguments as lines of JSON.
        outputs: What is expected: only its length is used.
        fn_name: The function, or the method of `Solution`, that is called; None for a program.
        seconds: That a test may take.

    Raises:
        SandboxError: The sandbox failed.
    """
    tests = [
        (given, 4 * len(expected.encode("utf-8", "replace")) + _ROOM)
        for given, expected in zip(inputs, outputs, strict=True)
    ]
    request = json.dumps(
        {
            "code": code, "fn_name": fn_name, "seconds": seconds, "tests": tests,
            "prelude": _PRELUDE.split(),
        }
    )  # fmt: skip
    result = await sandbox.run(
        _HARNESS, stdin=request, timeout=len(tests) * seconds + _START, private=True
    )
    ran = []
    for line in result.stdout.splitlines()[: len(tests)]:
        ran.append(_read(line))
        if ran[-1].code != PASSED:
            return ran
    if len(ran) < len(tests):
        if not result.killed_for and result.exit_code == 0 and not result.stdout:
            raise SandboxError(f"the tests of a program did not run: {result.stderr[-500:]}")
        why = f"reached the limit of {result.killed_for}" if result.killed_for else result.stderr
        ran.append(Ran(TIME_OUT if result.timed_out else RUNTIME_ERROR, "", why[-1000:]))
    return ran


def _read(line: str) -> Ran:
    """A line of the harness; the program may have written it itself, or into it."""
    try:
        code, output, error = msgspec.json.decode(line, type=tuple[int, str | None, str])
    except msgspec.MsgspecError:
        return Ran(RUNTIME_ERROR, "", "its results cannot be read")
    if code not in (PASSED, TIME_OUT, RUNTIME_ERROR):
        return Ran(RUNTIME_ERROR, "", "its results cannot be read")
    return Ran(code, output or "", error)
