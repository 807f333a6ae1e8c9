"""Programs in Python: a whole one, or the cells of a session."""

from __future__ import annotations

import ast
import atexit
import contextlib
import json
import linecache
import os
import socket
import sys
import threading
import traceback
import types
from typing import Any, Dict, Tuple

from athlos.sandbox.guest.data import read_all

CHANNEL = 3  # the descriptor by which a session is asked and answers
_VALUE = 20_000  # characters of the value of a cell


def run_main(source: bytes) -> int:
    """Runs a program as `python main.py` does, and ends like it."""
    module = _main_module()
    code, _ = run_source(source, "main.py", module.__dict__, show=False)
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001 - the program's own
        traceback.print_exc()
        code = code or 1
    _flush()
    return code


def run_session() -> int:
    """Runs one cell after another with the same variables, until the channel closes."""
    names = _main_module().__dict__
    owner = os.getpid()
    channel = socket.socket(fileno=CHANNEL)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # said before a kill
    number = 0
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 64, 1)
        if not data or not fds:
            return 0
        number += 1
        source = read_all(fds[0])
        os.close(fds[0])
        code, value = run_source(source, f"<cell {number}>", names, show=True)
        _flush()
        if os.getpid() != owner:  # the cell forked, and this is the child
            os._exit(code)
        answer = {"call": int(data), "exit": code, "value": value}
        channel.send(json.dumps(answer).encode())


def run_source(source: bytes, name: str, names: Dict[str, Any], show: bool) -> Tuple[int, str]:
    """The exit code of some code and, with `show`, its last expression's value as text."""
    value = ""
    try:
        text = source.decode("utf-8-sig")
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        last, program = None, None
        if show:
            program = ast.parse(text, name)
            if program.body and isinstance(program.body[-1], ast.Expr):
                last = program.body.pop()
        exec(compile(program or text, name, "exec"), names)  # noqa: S102 - what this is for
        if isinstance(last, ast.Expr):
            result = eval(compile(ast.Expression(last.value), name, "eval"), names)  # noqa: S307
            if result is not None:
                names["_"] = result
                value = repr(result).encode(errors="replace").decode()
                if len(value) > _VALUE:
                    value = value[:_VALUE] + " ..."
    except SystemExit as leaving:
        if isinstance(leaving.code, int):
            return leaving.code & 255, ""
        if leaving.code is not None:
            print(leaving.code, file=sys.stderr)
        return int(leaving.code is not None), ""
    except BaseException as error:  # noqa: BLE001 - shown to whoever wrote the code
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != name:
            trace = trace.tb_next
        with contextlib.suppress(Exception):
            traceback.print_exception(type(error), error, trace)
        return 1, ""
    return 0, value


def _main_module() -> types.ModuleType:
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    sys.argv = ["main.py"]
    sys.path.insert(0, os.getcwd())
    return module


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
