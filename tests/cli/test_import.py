"""`athlos import nemo-gym`: run files, and the account of what became of every key."""

import json

import pytest
from click.testing import CliRunner

from athlos import ConfigError
from athlos.cli.import_ import command
from athlos.cli.settings import Settings
from athlos.cli.yaml_text import read_yaml
from athlos.connect.nemo_gym_servers import SERVER_TYPES
from athlos.connect.nemo_gym_yaml import leaves, load_gym_yaml

WEATHER = """
my_weather:
  resources_servers:
    weather_impl: {entrypoint: app.py, domain: agent, port: 9001, city_limit: 3}
weather_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: my_weather}
      model_server: {type: responses_api_models, name: policy_model}
      max_steps: 10
      skip_verification: false
      datasets:
      - {name: example, type: example, jsonl_fpath: d/example.jsonl}
      - name: train
        type: train
        jsonl_fpath: d/train.jsonl
        license: Apache 2.0
        source: {type: huggingface, repo_id: o/d}
      - name: bench
        type: benchmark
        jsonl_fpath: d/bench.jsonl
        prompt_config: p.yaml
        num_repeats: 8
policy_model:
  responses_api_models:
    openai_model:
      entrypoint: app.py
      openai_base_url: ${policy_base_url}
      openai_api_key: ${policy_api_key}
      openai_model: ${policy_model_name}
num_samples_in_parallel: 32
responses_create_params: {temperature: 0.7, max_output_tokens: 100, tools: []}
use_absolute_ip: false
wandb_project: mine
weather_front:
  environment_servers:
    legacy_agent:
      entrypoint: app.py
      agent_server: {type: responses_api_agents, name: weather_agent}
"""
CHOICES = """
choices:
  resources_servers:
    mcqa:
      entrypoint: app.py
      domain: knowledge
      grading_mode: lenient_boxed
      judge_model_server: {type: responses_api_models, name: judge_model}
choices_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: choices}
      model_server: {type: responses_api_models, name: policy_model}
policy_model:
  responses_api_models:
    vllm_model:
      entrypoint: app.py
      base_url: [http://127.0.0.1:1/v1, http://127.0.0.1:2/v1]
      api_key: sk-very-secret
      model: m
      return_token_id_information: true
      uses_reasoning_parser: true
      sampling_overrides: {top_k: 5, max_output_tokens: 7}
judge_model:
  responses_api_models:
    vllm_model: {entrypoint: app.py, base_url: http://127.0.0.1:3/v1, api_key: "", model: judge}
"""
ENV = """
policy_base_url: http://127.0.0.1:8000/v1
policy_api_key: ${oc.env:POLICY_KEY,none}
policy_model_name: Qwen/Qwen3-4B
"""
ROW = {"responses_create_params": {}, "question": "2+2?", "verifier_metadata": {"answer": 4}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEMO_GYM_EXTRA_ROOTS", raising=False)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/bench.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "p.yaml").write_text("system: Be brief.\nuser: 'Solve {question} {{now}} {answer}'")
    (tmp_path / "env.yaml").write_text(ENV)
    (tmp_path / "weather.yaml").write_text(WEATHER)
    (tmp_path / "choices.yaml").write_text(CHOICES)
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(command, ["nemo-gym", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def test_a_server_with_data_becomes_a_run_file(folder):
    result = run("weather.yaml", "--out", "run.yaml")
    assert read_yaml((folder / "run.yaml").read_text(), "") == {
        "environment": "nemo-gym+http://127.0.0.1:9001",
        "base_url": "http://127.0.0.1:8000/v1",
        "api_key_env": "POLICY_KEY",
        "model": "Qwen/Qwen3-4B",
        "max_turns": 10,
        "tasks": "run.tasks.jsonl",
        "samples": 8,
        "concurrency": 32,
        "temperature": 0.7,
        "max_tokens": 100,
    }
    assert "wrote run.yaml" in result.stderr
    settings = Settings.read(None, "run.yaml", {}, {"env": {}, "sampling": {}})
    assert settings.samples == 8


def test_a_prompt_configuration_completes_the_rows(folder):
    run("weather.yaml", "--out", "run.yaml")
    row = json.loads((folder / "run.tasks.jsonl").read_text())
    assert row.pop("responses_create_params") == {
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Solve 2+2? {now} 4"},
        ]
    }
    assert row == {"question": "2+2?", "verifier_metadata": {"answer": 4}}


def test_a_prompt_that_names_no_field_of_a_row_is_an_error(folder):
    (folder / "p.yaml").write_text("user: '{nope}'")
    with pytest.raises(ConfigError, match=r"bench\.jsonl, row 1: the prompt names 'nope'"):
        run("weather.yaml", "--out", "run.yaml")


def told(report):
    """The keys that a report speaks of."""
    found, place = [], ""
    for line in report.splitlines():
        named = line.strip().partition("  ")[0].partition(": ")[0]
        if line.startswith("    "):
            found += [f"{place}.{name}" for name in named.rstrip(",").split(", ")]
        elif line.startswith("  ") and named.split(".")[1:2] in [[kind] for kind in SERVER_TYPES]:
            place = named
        elif line.startswith("  "):
            found += named.rstrip(",").split(", ")
    return found


@pytest.mark.parametrize(("name", "secret"), [("weather", "none"), ("choices", "sk-very-secret")])
def test_every_key_is_accounted_for_and_no_secret_is_shown(folder, name, secret):
    result = run(f"{name}.yaml")
    made = load_gym_yaml(folder / f"{name}.yaml", read_yaml)
    spoken = told(result.stderr)
    for key, _ in leaves(made.values):
        if not key.startswith("policy_") or "." in key:  # names that others refer to
            assert any(key == one or key.startswith((f"{one}.", f"{one}[")) for one in spoken), key
    assert secret not in result.stdout
    assert f" {secret}" not in result.stderr


def test_the_report_goes_server_by_server(folder):
    assert run("weather.yaml", "--out", "run.yaml").stderr == (
        """\
wrote run.yaml
used:
  weather_agent.responses_api_agents.simple_agent
    resources_server           environment
    model_server               model, base_url
    max_steps                  max_turns
    datasets[2].jsonl_fpath    tasks
    datasets[2].num_repeats    samples
    datasets[2].prompt_config  tasks, whose rows it completes
  my_weather.resources_servers.weather_impl
    port  environment: nemo-gym+http://127.0.0.1:9001
  policy_model.responses_api_models.openai_model
    openai_base_url  base_url
    openai_api_key   api_key_env: POLICY_KEY
    openai_model     model
  num_samples_in_parallel                    concurrency
  responses_create_params.temperature        temperature
  responses_create_params.max_output_tokens  max_tokens
left to the server and its launcher:
  my_weather.resources_servers.weather_impl
    entrypoint, domain, city_limit
  policy_model.responses_api_models.openai_model
    entrypoint
  weather_agent.responses_api_agents.simple_agent
    entrypoint
  use_absolute_ip
  weather_front.environment_servers.legacy_agent
    entrypoint, agent_server
not used:
  weather_agent.responses_api_agents.simple_agent: a setting of the agent simple_agent, which the \
tool loop replaces
    skip_verification
  weather_agent.responses_api_agents.simple_agent: not chosen; --dataset example takes it
    datasets[0]
  weather_agent.responses_api_agents.simple_agent: not chosen; --dataset train takes it
    datasets[1]
  weather_agent.responses_api_agents.simple_agent: about the data set; the rows say it all
    datasets[2].name, datasets[2].type
  responses_create_params.tools, wandb_project: there is nothing like it here
note: run.tasks.jsonl has the rows of d/bench.jsonl, completed by p.yaml
"""
    )


def test_an_environment_server_may_say_which_resources_an_agent_has(folder):
    text = WEATHER.replace(
        "      resources_server: {type: resources_servers, name: my_weather}\n", ""
    )
    reference = "{type: resources_servers, name: my_weather}"
    (folder / "turn.yaml").write_text(f"{text}      resources_server: {reference}\n")
    result = run("turn.yaml")
    assert read_yaml(result.stdout, "")["environment"] == "nemo-gym+http://127.0.0.1:9001"
    assert "weather_front.environment_servers.legacy_agent\n    resources_server" in result.stderr


def test_the_variable_of_a_key_is_found_behind_a_choice(folder):
    chosen = CHOICES.replace("sk-very-secret", "${oc.select:their_key,${policy_api_key}}")
    (folder / "choices.yaml").write_text(chosen)
    assert read_yaml(run("choices.yaml").stdout, "")["api_key_env"] == "POLICY_KEY"


def test_an_environment_of_the_library_takes_the_place_of_its_server(folder):
    result = run("choices.yaml")
    assert read_yaml(result.stdout, "") == {
        "environment": "mcqa",
        "models": {"judge": {"base_url": "http://127.0.0.1:3/v1", "model": "judge"}},
        "env": {"grading_mode": "lenient_boxed"},
        "base_url": ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"],
        "model": "m",
        "tokens": "capture",
        "sampling": {"top_k": 5, "max_tokens": 7},
    }
    assert "the key of policy_model is in the file" in result.stderr
    assert "the key of judge_model" not in result.stderr  # it has none


def test_a_server_without_a_port_is_to_be_named_by_the_user(folder):
    result = run("choices.yaml", "--remote")
    assert "environment" not in read_yaml(result.stdout, "")
    assert "athlos run nemo-gym+http://HOST:PORT" in result.stderr


def test_a_data_set_can_be_chosen_and_said_where_it_is(folder):
    result = run("weather.yaml", "--dataset", "train")
    assert read_yaml(result.stdout, "")["tasks"] == "d/train.jsonl"
    assert "d/train.jsonl is not there: fetch it (type=huggingface repo_id=o/d)" in result.stderr
    with pytest.raises(ConfigError, match="no data set 'x'") as raised:
        run("weather.yaml", "--dataset", "x")
    assert raised.value.hint == "It has: example, train, bench"


def test_one_of_several_agents_must_be_chosen(folder):
    (folder / "both.yaml").write_text(
        "config_paths: [weather.yaml]\n" + CHOICES.partition("policy_model:\n  ")[0]
        + "judge_model: {responses_api_models: {openai_model: {entrypoint: app.py}}}\n"
    )  # fmt: skip
    with pytest.raises(ConfigError, match="several agents"):
        run("both.yaml")
    assert "environment: mcqa" in run("both.yaml", "--agent", "choices_agent").stdout
    with pytest.raises(ConfigError) as raised:
        run("both.yaml", "--agent", "choices_agnt")
    assert "choices_agent" in raised.value.hint


def test_values_can_be_set(folder):
    result = run("weather.yaml", "--set", "my_weather.resources_servers.weather_impl.port=9")
    assert "nemo-gym+http://127.0.0.1:9\n" in result.stdout
    with pytest.raises(ConfigError, match="write KEY=VALUE"):
        run("weather.yaml", "--set", "x")


def test_resolved_values_are_printed_with_masked_secrets(folder):
    shown = read_yaml(run("choices.yaml", "--resolved").stdout, "")
    model = shown["policy_model"]["responses_api_models"]["vllm_model"]
    assert model["api_key"] == "****"
    assert model["model"] == "m"
    assert shown["policy_api_key"] == "****"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("limit", "abc"),
        ("num_repeats", "-1"),
        ("num_samples_in_parallel", "[1]"),
        ("my_weather.resources_servers.weather_impl.port", "abc"),
        ("responses_create_params.top_p", "7"),
        ("weather_agent.responses_api_agents.simple_agent.max_steps", "many"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused(folder, key, value):
    with pytest.raises(ConfigError, match=rf"^weather\.yaml: {key} must be ") as raised:
        run("weather.yaml", "--out", "run.yaml", "--set", f"{key}={value}")
    assert raised.value.hint == f"--set {key}=VALUE gives another one."
    assert not (folder / "run.yaml").exists()


def test_a_value_of_a_data_set_is_changed_in_the_file(folder):
    (folder / "weather.yaml").write_text(WEATHER.replace("num_repeats: 8", "num_repeats: -1"))
    with pytest.raises(ConfigError, match=r"datasets\[2\]\.num_repeats must be") as raised:
        run("weather.yaml")
    assert raised.value.hint == "Change it in the file."


def test_null_gives_no_value(folder):
    result = run("weather.yaml", "--set", "num_samples_in_parallel=null")
    assert "concurrency" not in read_yaml(result.stdout, "")
    assert "num_samples_in_parallel: null gives no value" in result.stderr


@pytest.mark.parametrize(
    "place", ["my_weather.resources_servers.weather_impl.host", "default_host"]
)
def test_a_host_that_is_part_of_the_address_is_used(folder, place):
    result = run("weather.yaml", "--set", f"{place}=10.0.0.1")
    assert read_yaml(result.stdout, "")["environment"] == "nemo-gym+http://10.0.0.1:9001"
    used, _, rest = result.stderr.partition("left to the server and its launcher:")
    assert "host" in used
    assert "host" not in rest


def test_a_file_that_is_there_is_not_written_over(folder):
    run("weather.yaml", "--out", "run.yaml")
    for name in ("run.yaml", "run.tasks.jsonl"):
        (folder / name).write_text("mine")
        with pytest.raises(ConfigError, match=f"{name} is there already") as raised:
            run("weather.yaml", "--out", "run.yaml")
        assert raised.value.hint == "--force writes over it."
        assert (folder / name).read_text() == "mine"
        (folder / "run.yaml").unlink(missing_ok=True)
    run("weather.yaml", "--out", "run.yaml", "--force")
    assert (folder / "run.tasks.jsonl").read_text() != "mine"


def test_a_key_that_is_there_twice_is_refused(folder):
    (folder / "weather.yaml").write_text(f"{WEATHER}use_absolute_ip: true\n")
    with pytest.raises(
        ConfigError, match="the key 'use_absolute_ip' is there twice, first in line"
    ):
        run("weather.yaml")
