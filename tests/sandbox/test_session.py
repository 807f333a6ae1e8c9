"""A Python interpreter whose variables live from call to call."""

import asyncio

import pytest

from athlos.sandbox import Limits, open_sandbox


@pytest.fixture
def session(runner, sandbox):
    session = runner.run(sandbox.python())
    yield session
    session.close()


def test_variables_live(runner, session):
    assert runner.run(session.run("x = 20\ndef f(): return x + 1")).value == ""
    assert runner.run(session.run("f() * 2")).value == "42"
    assert runner.run(session.run("_ + 1")).value == "43"


def test_output_and_value_of_each_call(runner, session):
    first = runner.run(session.run("print('one'); 1"))
    second = runner.run(session.run("import sys; print('two', file=sys.stderr)"))
    assert (first.stdout, first.value, first.stderr) == ("one\n", "1", "")
    assert (second.stdout, second.value, second.stderr) == ("", "", "two\n")
    assert first.ok


def test_an_exception_is_shown_and_costs_no_state(runner, session):
    runner.run(session.run("x = 1"))
    failed = runner.run(session.run("y = 2\nx / 0"))
    assert (failed.exit_code, failed.state_lost) == (1, False)
    assert '  File "<cell 2>", line 2, in <module>\n    x / 0\n' in failed.stderr
    assert runner.run(session.run("x + y")).value == "3"


def test_code_that_is_none(runner, session):
    result = runner.run(session.run("x = = 1"))
    assert result.exit_code == 1
    assert result.stderr.endswith("SyntaxError: invalid syntax\n")
    assert runner.run(session.run("")).ok


def test_leaving_is_an_exit_code(runner, session):
    runner.run(session.run("x = 5"))
    assert runner.run(session.run("import sys; sys.exit(3)")).exit_code == 3
    assert runner.run(session.run("x")).value == "5"


def test_too_long_loses_the_state_and_says_so(runner, session):
    runner.run(session.run("x = 1"))
    result = runner.run(session.run("print('before')\nwhile True: pass", timeout=0.3))
    assert (result.timed_out, result.state_lost, result.stdout) == (True, True, "before\n")
    assert result.stderr == "[took longer than 0.3 s; a new one starts without the variables]\n"
    assert "NameError" in runner.run(session.run("x")).stderr


def test_too_much_memory_loses_the_state(runner, session):
    code = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        x = bytearray(b"1") * (60 << 20)
        time.sleep(60)
time.sleep(60)
"""
    result = runner.run(session.run(code))
    assert (result.killed_for, result.state_lost) == ("memory", True)
    assert runner.run(session.run("1")).value == "1"


def test_endless_output_loses_the_state(runner, session):
    result = runner.run(session.run("while True: print('x' * 1000)"))
    assert (result.killed_for, result.truncated, result.state_lost) == ("output", True, True)


def test_an_interpreter_that_ends_itself(runner, session):
    result = runner.run(session.run("import os; os._exit(7)"))
    assert (result.exit_code, result.killed_for, result.state_lost) == (7, "", True)
    assert "ended the interpreter" in result.stderr


def test_a_large_value_is_cut(runner, session):
    value = runner.run(session.run("'x' * 1_000_000")).value
    assert len(value) < 30_000
    assert value.endswith(" ...")


def test_a_value_that_cannot_be_shown(runner, session):
    result = runner.run(
        session.run("class A:\n    def __repr__(self): raise ValueError('no')\nA()")
    )
    assert result.exit_code == 1
    assert "ValueError: no" in result.stderr


def test_calls_at_the_same_time_take_turns(runner, session):
    async def both():
        code = "import time\nn = globals().get('n', 0) + 1\ntime.sleep(0.02)\nn"
        return await asyncio.gather(*(session.run(code) for _ in range(4)))

    assert sorted(result.value for result in runner.run(both())) == ["1", "2", "3", "4"]


def test_a_cancelled_call_ends_the_interpreter(runner, session):
    async def cancel():
        await session.run("x = 1")
        task = asyncio.ensure_future(session.run("import time; time.sleep(60)"))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await session.run("'x' in globals()")

    assert runner.run(cancel()).value == "False"


def test_two_sessions_share_files_and_nothing_else(runner, sandbox):
    async def both():
        one, two = await sandbox.python(), await sandbox.python()
        await one.run("x = 1; open('f', 'w').write('here')")
        return await two.run("('x' in globals(), open('f').read())")

    assert runner.run(both()).value == "(False, 'here')"


def test_cpu_time_between_calls_is_limited():
    async def burn():
        async with open_sandbox("bubblewrap", limits=Limits(cpu_seconds=0.3)) as sandbox:
            session = await sandbox.python()
            code = "def f():\n    while True: pass\nthreading.Thread(target=f).start()"
            await session.run("import threading")
            await session.run(code)
            interpreter = session._interpreter
            await asyncio.wait_for(interpreter.report, 30)
            return interpreter.report.result().killed, await session.run("2")

    killed, after = asyncio.run(burn())
    assert killed == "time"
    assert after.value == "2"
