"""The gate of versions, and what importing an adapter costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import athlos.train
from athlos import ConfigError
from athlos.train import versions

FRAMEWORKS = (
    "torch transformers trl datasets accelerate verl nemo_rl nemo_gym slime art openpipe tinker "
    "skyrl areal agentlightning ray numpy openai"
)


@pytest.mark.parametrize(
    ("found", "good"),
    [("1.16.0", True), ("1.16", True), ("1.16.3.post1", True), ("v1.16.1+cpu", True),
     ("1.15.9", False), ("1.17.0.dev0", False), ("1.17", False), ("2", False), ("odd", False)],
)  # fmt: skip
def test_a_version_outside_of_the_tested_range_is_one_clear_error(monkeypatch, found, good):
    monkeypatch.setattr(versions, "version", lambda name: found)
    if good:
        assert versions.require("trl", "1.16", "1.17") == found
        return
    with pytest.raises(ConfigError) as caught:
        versions.require("trl", "1.16", "1.17")
    said = str(caught.value)
    assert f"trl {found} is installed" in said
    assert "trl 1.16 up to, and without, 1.17" in said
    assert "pip install 'trl>=1.16,<1.17'" in said


def test_what_is_not_installed_is_said_too():
    with pytest.raises(ConfigError, match=r"no-such-trainer is not installed.* 1 up to"):
        versions.require("no-such-trainer", "1", "2", extra="athlos[no-such]")


def test_importing_the_adapters_imports_no_framework():
    folder = Path(athlos.train.__file__).parent
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    folders = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    modules = ", ".join(f"athlos.train.{name}" for name in [*names, *folders])
    code = f"import sys, athlos, athlos.train, {modules}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(FRAMEWORKS.split()) & set(loaded)


@pytest.mark.parametrize(
    "framework", ["areal", "art", "nemo_rl", "skyrl", "slime", "tinker", "trl", "verl"]
)
def test_an_adapter_is_a_thin_projection(framework):
    folder = Path(athlos.train.__file__).parent
    files = [*folder.glob(f"{framework}*.py"), *folder.glob(f"{framework}/*.py")]
    lines = {path.name: len(path.read_text().splitlines()) for path in files}
    assert lines
    assert all(count < 300 for count in lines.values()), lines


def test_the_public_names_are_these():
    assert sorted(athlos.train.__all__) == [
        "Batch", "Feed", "Projection", "Stream", "StreamError", "SyncStream", "TrainingGroup",
        "TrainingRollout",
    ]  # fmt: skip
    assert all(getattr(athlos.train, name).__doc__ for name in athlos.train.__all__)
