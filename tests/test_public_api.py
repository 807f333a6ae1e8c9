"""The public names, and what importing them costs."""

import subprocess
import sys

import athlos

PUBLIC = [
    "Agent", "AgentError", "AthlosError", "AttemptTimeout", "Budget", "BudgetError", "Call",
    "Cancelled", "Collection", "Config", "ConfigError", "ContextOverflow", "Curriculum",
    "Deadlines", "EnvError", "Environment", "Failure", "Group", "GroupPolicy", "JudgeError",
    "Message", "Model", "ModelError", "Retry", "Rollout", "SandboxError", "Sequence",
    "Summary", "Task", "TokenError", "ToolCall", "ToolError", "ToolLoop", "Usage",
    "VerifierError", "VersionSpan", "__version__",
    "collect", "group_reward", "load", "metric", "read_failures", "read_rollouts", "reward",
    "tool",
]  # fmt: skip


def test_the_public_names_are_these():
    assert sorted(athlos.__all__) == sorted(PUBLIC)
    assert set(dir(athlos)) == set(PUBLIC)


def test_every_public_name_is_there_and_documented():
    for name in PUBLIC:
        value = getattr(athlos, name)
        assert name == "__version__" or value.__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(athlos, "Enviroment")


def test_importing_athlos_imports_nothing_else():
    code = "import sys, athlos; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    heavy = "msgspec pyqwest rich yaml click math_verify sympy torch pydantic asyncio uvloop"
    assert not set(heavy.split()) & set(loaded.split())
