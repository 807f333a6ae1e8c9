"""What identifies a run, as a rule over any two configurations."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos import ConfigError
from athlos.runs.spec import EnvironmentSpec, ModelSpec, RunSpec

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.none() | st.booleans() | numbers | st.text(max_size=4) | st.lists(numbers, max_size=2)
names = st.text("abc", min_size=1, max_size=2)
settings = st.dictionaries(names, values | st.dictionaries(names, values, max_size=2), max_size=3)

specs = st.builds(
    RunSpec,
    environment=st.builds(
        EnvironmentSpec,
        reference=names,
        name=names,
        version=names,
        digest=names,
        config=settings,
        pass_threshold=st.sampled_from([0.5, 1.0]),
    ),
    model=st.builds(ModelSpec, name=names, base_url=names),
    agent=settings,
    sampling=settings,
    split=names,
    samples=st.integers(1, 4),
    limit=st.none() | st.integers(1, 4),
    seed=st.none() | st.integers(0, 3),
)


def written(spec):
    """The configuration as a later process reads it."""
    return msgspec.json.decode(msgspec.json.encode(spec), type=RunSpec)


@given(specs)
def test_what_was_written_resumes_itself(spec):
    spec.check_resumes(written(spec), "run")
    assert written(spec).fingerprint() == spec.fingerprint()


@given(specs, specs)
def test_either_it_resumes_or_the_message_names_a_field(earlier, now):
    grows = now.samples >= earlier.samples and (
        now.limit is None or (earlier.limit is not None and now.limit >= earlier.limit)
    )
    resumes = grows and now.fingerprint() == earlier.fingerprint()
    try:
        now.check_resumes(written(earlier), "run")
    except ConfigError as error:
        assert not resumes
        assert error.message.startswith("run holds a run with another configuration: ")
        assert " was " in error.message
    else:
        assert resumes


@given(specs, st.integers(0, 3), st.integers(0, 3) | st.none())
def test_a_run_may_grow(spec, samples, tasks):
    limit = None if tasks is None or spec.limit is None else spec.limit + tasks
    grown = msgspec.structs.replace(spec, samples=spec.samples + samples, limit=limit)
    grown.check_resumes(written(spec), "run")
    assert grown.fingerprint() == spec.fingerprint()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"samples": 3}, {"samples": 2}, r"samples was 3, is now 2 \(it may grow\)"),
        ({"limit": 3}, {"limit": 2}, r"limit was 3, is now 2 \(it may grow\)"),
        ({"limit": None}, {"limit": 9}, r"limit was not set, is now 9 \(it may grow\)"),
        ({"seed": 0}, {"seed": None}, "seed was 0, is now not set"),
        ({"agent": {"a": {"b": [1]}}}, {"agent": {"a": {"b": [2]}}}, r"agent\.a\.b was \[1\], is"),
        ({"sampling": {"stop": "é"}}, {}, 'sampling.stop was "é", is now not set'),
    ],
)
def test_what_differs_is_shown_as_it_was_written(before, after, expected):
    fields = {
        "environment": EnvironmentSpec("r", "n", "", "", {}),
        "model": ModelSpec("m", "u"),
        "agent": {},
        "split": "test",
        "samples": 1,
        "limit": 1,
        "seed": 0,
    }
    earlier, now = RunSpec(**{**fields, **before}), RunSpec(**{**fields, **after})
    with pytest.raises(ConfigError, match=expected):
        now.check_resumes(written(earlier), "run")


def test_every_difference_is_named_at_once():
    environment, model = EnvironmentSpec("r", "n", "", "a", {"x": 1}), ModelSpec("m", "u")
    fields = {"agent": {}, "split": "test", "limit": None, "seed": 0}
    earlier = RunSpec(environment=environment, model=model, samples=2, **fields)
    other = EnvironmentSpec("elsewhere", "n", "", "b", {"x": 2})
    now = RunSpec(environment=other, model=ModelSpec("k", "v"), samples=1, **fields)
    with pytest.raises(ConfigError) as raised:
        now.check_resumes(earlier, "run")
    message = raised.value.message
    for field in ("environment.config.x", "environment.digest", "model.name", "samples"):
        assert f"{field} was" in message
    assert message.count(" was ") == 4
