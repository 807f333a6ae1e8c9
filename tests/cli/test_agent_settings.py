"""The agent's part of the settings of `athlos run`."""

import pytest

from athlos.agents import CommandAgent, ToolLoop
from athlos.cli.settings import Settings
from athlos.errors import ConfigError


def read(text="", folder=None, **options):
    file = None
    if text:
        file = folder / "run.yaml"
        file.write_text(text)
    return Settings.read(
        "counter", str(file) if file else None, options, {"env": {}, "sampling": {}}
    )


def agent(settings):
    return settings._agent()


def test_without_an_agent_it_is_the_tool_loop():
    assert agent(read(max_turns=3)) == ToolLoop(max_turns=3)


def test_the_agent_of_a_run_file(tmp_path):
    text = "agent:\n  command: env true\n  env: [PATH]\n  time_limit: 60\n  ok_exit_codes: [0, 3]\n"
    assert agent(read(text, tmp_path)) == CommandAgent(
        command="env true", env=["PATH"], time_limit=60.0, ok_exit_codes=[0, 3]
    )


def test_an_option_replaces_the_command_and_keeps_the_rest(tmp_path):
    text = "agent: {command: env false, max_calls: 3}"
    found = agent(read(text, tmp_path, agent_command="env true"))
    assert (found.command, found.max_calls) == ("env true", 3)


def test_an_empty_block_is_none(tmp_path):
    assert agent(read("agent:\nmax_turns: 3\n", tmp_path)) == ToolLoop(max_turns=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agent: {time_limit: 3}", "the agent has no command"),
        ("agent: {comand: x}", "comand"),
        ("agent: python agent.py", "agent must be keys and values"),
        ("agent: {command: env, sandbox: true}", "cannot run in a sandbox yet"),
        ("{agent: {command: env}, max_turns: 3}", "limits of the tool loop"),
        ("{agent: {command: env}, token_budget: 3}", "limits of the tool loop"),
        ("agent_command: env", "unknown key 'agent_command'"),
    ],
)
def test_mistakes(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        agent(read(text, tmp_path))
