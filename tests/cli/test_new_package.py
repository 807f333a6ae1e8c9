"""`athlos new --package`: a package whose environment runs by its name once it is installed."""

import asyncio
import importlib
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import athlos
from athlos import ConfigError
from athlos.cli import new, show
from athlos.registry import GROUP, digest, listing, package
from athlos.runs.spec import RunFile
from athlos.testing import scripted


def invoke(command, *words):
    said = CliRunner().invoke(command, list(words))
    assert said.exit_code == 0, said.output
    return said.output


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as `pip install -e` leaves it: its sources on the path, its metadata beside."""
    monkeypatch.chdir(tmp_path)
    invoke(new.command, "sums_env", "--package")
    project = tomllib.loads(Path("sums_env/pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"][GROUP]
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\n" + "".join(f"{name} = {place}\n" for name, place in points.items())
    )
    for path in ("site", "sums_env/src"):
        monkeypatch.syspath_prepend(str(tmp_path / path))
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("sums_env", None)


def test_the_package_has_what_a_package_needs(installed):
    files = {str(p.relative_to("sums_env")) for p in Path("sums_env").rglob("*") if p.is_file()}
    assert files == {
        "README.md", "pyproject.toml", "src/sums_env/__init__.py", "tests/test_sums_env.py",
    }  # fmt: skip
    project = tomllib.loads(Path("sums_env/pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["dependencies"] == [f"athlos>={athlos.__version__}"]


def test_the_environment_runs_by_its_name_and_the_run_says_what_it_was(installed):
    summary = asyncio.run(athlos.collect("sums_env", scripted("1"), limit=1, out="run").run())
    assert summary.reward.mean == 1.0
    spec = msgspec.json.decode(Path("run/run.json").read_bytes(), type=RunFile).spec.environment
    assert (spec.version, spec.package) == ("0.1.0", "sums-env 0.1.0")
    assert spec.digest == digest(athlos.load("sums_env"))


def test_show_says_version_package_and_digest(installed):
    shown = invoke(show.command, "sums_env").splitlines()[0]
    assert shown.startswith("sums_env 0.1.0 digest ")
    assert shown.endswith("package sums-env 0.1.0")
    as_json = msgspec.json.decode(invoke(show.command, "sums_env", "--json"))
    assert as_json["package"] == "sums-env 0.1.0"


def test_the_listing_names_the_package(installed):
    assert ("sums_env", "sums-env") in {(one.name, one.source) for one in listing()}


def test_a_class_of_the_package_has_its_version_too(installed):
    env = athlos.load("sums_env:SumsEnv")
    assert (env.version, package(env)) == ("0.1.0", "sums-env 0.1.0")


def test_the_tests_of_the_package_pass(installed):
    names = {}
    exec(Path("sums_env/tests/test_sums_env.py").read_text(), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test()
    assert len(tests) == 4


def test_a_package_may_not_have_a_name_of_the_library():
    with pytest.raises(ConfigError, match="the library has an environment 'counter'"):
        new.command.main(["counter", "--package"], standalone_mode=False)


def test_what_is_from_no_package_says_none():
    assert package(athlos.load("counter")) is None
