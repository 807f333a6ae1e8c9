"""`athlos serve`: what its options become."""

import pytest
from click.testing import CliRunner

from athlos import ConfigError
from athlos.cli import serve


def options(monkeypatch, *arguments):
    """The options of a server that is not started."""
    made = []
    monkeypatch.setattr(serve, "_serve", lambda options, *rest, **further: made.append(options))
    monkeypatch.setattr("athlos.serve.workers.run", lambda main: None)
    given = ["counter", "--no-auth", *arguments]
    result = CliRunner().invoke(serve.command, given, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return made[0]


@pytest.mark.parametrize(("given", "mode"), [((), "off"), (("--tokens", "capture"), "capture")])
def test_the_policy_captures_token_ids_if_it_is_told_to(monkeypatch, given, mode):
    made = options(monkeypatch, "--base-url", "http://127.0.0.1:1/v1", *given)
    assert made.policy.tokens == mode


def test_token_ids_are_those_of_a_model(monkeypatch):
    with pytest.raises(ConfigError, match="--tokens is of a model") as raised:
        options(monkeypatch, "--tokens", "capture")
    assert raised.value.hint == "Add --base-url URL."
