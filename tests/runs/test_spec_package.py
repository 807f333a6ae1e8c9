"""The package of an environment in run.json: read from old runs, and no reason not to resume."""

import msgspec

from athlos.runs.spec import EnvironmentSpec, ModelSpec, RunSpec

OLD = b"""{
  "environment": {"reference": "e", "name": "e", "version": "1", "digest": "d", "config": {}},
  "model": {"name": "m", "base_url": "u"}, "agent": {"name": "tool_loop"},
  "split": "test", "samples": 1, "limit": null, "seed": 0}"""


def spec(package):
    environment = EnvironmentSpec("e", "e", "1", "d", {}, package=package)
    return RunSpec(
        environment=environment, model=ModelSpec("m", "u"), agent={"name": "tool_loop"},
        split="test", samples=1, limit=None, seed=0,
    )  # fmt: skip


def test_a_run_without_the_field_is_read_and_resumed():
    old = msgspec.json.decode(OLD, type=RunSpec)
    assert old.environment.package is None
    spec("my-env 0.2.0").check_resumes(old, "run")
    assert old.fingerprint() == spec(None).fingerprint()


def test_another_package_with_the_same_version_and_content_is_the_same_run():
    assert spec("my-env 0.1.0").fingerprint() == spec("my-env 0.2.0").fingerprint()
