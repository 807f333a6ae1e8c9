"""A user's mistake costs one clear message and exit code 2."""

import pytest
from tests.fake_server import FakeServer, text


@pytest.fixture(scope="module")
def server():
    with FakeServer(lambda request: text("hi"), models=("alpha", "beta")) as server:
        yield server


@pytest.fixture
def refused(athlos):
    """Runs a command that must be refused; returns what it said."""

    def run(*arguments, env=None):
        done = athlos(*arguments, env=env)
        assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr + done.stdout
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) <= 4
        return done.stderr

    return run


def test_unknown_environment_with_a_suggestion(refused):
    assert "Did you mean counter" in refused("run", "countr", "--model", "x")


def test_a_file_without_its_ending_is_recognised(refused, counter_file):
    counter_file.rename(counter_file.with_name("zebra.py"))
    assert "./zebra.py" in refused("run", "zebra", "--model", "x")


def test_missing_file(refused):
    assert "no environment file ./nope.py" in refused("run", "./nope.py", "--model", "x")


def test_syntax_error_names_file_and_line(refused, tmp_path):
    (tmp_path / "bad.py").write_text("import athlos\n\ndef x(:\n    pass\n")
    said = refused("run", "./bad.py", "--model", "x")
    assert "bad.py:3: syntax error" in said


def test_error_while_loading_names_file_and_line(refused, tmp_path):
    (tmp_path / "bad.py").write_text("import athlos\n\nx = 1 / 0\n")
    assert "bad.py:3: ZeroDivisionError" in refused("run", "./bad.py", "--model", "x")


def test_file_without_environment(refused, tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert "has no environment" in refused("run", "./empty.py", "--model", "x")


def test_environment_without_reward(refused, tmp_path):
    (tmp_path / "e.py").write_text("import athlos\nclass E(athlos.Environment):\n    pass\n")
    assert "E has no reward" in refused("run", "./e.py", "--model", "x")


def test_tool_without_a_type_names_the_parameter(refused, tmp_path):
    (tmp_path / "e.py").write_text(
        "import athlos\nclass E(athlos.Environment):\n"
        "    @athlos.tool\n    def look(self, where): ...\n"
    )
    assert "tool E.look: parameter 'where' has no type" in refused("run", "./e.py", "--model", "x")


def test_task_row_without_prompt_names_file_and_line(refused, tmp_path, server):
    (tmp_path / "rows.jsonl").write_text(
        '{"prompt": "a", "target": 3}\n\n{"info": {"target": 3}}\n'
    )
    said = refused("run", "counter", "--tasks", "rows.jsonl", "--base-url", server.url,
                   "--model", "alpha")  # fmt: skip
    assert "rows.jsonl:3: the task has no prompt" in said


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("{nope", "not valid JSON"),
        ("[1]", "must be a JSON object"),
        ('{"prompt": 3}', "malformed"),
        ('{"prompt": [{"role": "robot"}]}', "malformed"),
        ('{"prompt": "a", "info": []}', "`info` must be an object"),
        ('{"prompt": "a", "tools": ["fly"]}', "a tool 'fly'"),
        ('{"prompt": "a", "sampling": {"n": 2}}', "'n' is no sampling parameter"),
        ('{"responses_create_params": {}}', "no prompt"),
        ('{"prompt": "a", "targt": 3}', "the row has no `target`"),
        ('{"responses_create_params": {"input": "a", "tools": [{"name": "fly"}]}}', "'fly'"),
    ],
)
def test_malformed_task_rows(refused, tmp_path, server, row, expected):
    (tmp_path / "rows.jsonl").write_text(row + "\n")
    said = refused("run", "counter", "--tasks", "rows.jsonl", "--base-url", server.url,
                   "--model", "alpha")  # fmt: skip
    assert "rows.jsonl:1" in said
    assert expected in said


def test_unknown_setting_of_the_environment(refused, server):
    said = refused("run", "counter", "--env.highset", 3, "--base-url", server.url)
    assert "highset" in said
    assert "size, highest" in said


def test_wrong_type_of_a_setting(refused, server):
    assert "size" in refused("run", "counter", "--env.size", "many", "--base-url", server.url)


def test_unknown_option(refused):
    assert "--temperature" in refused("run", "counter", "--temprature", 1, "--model", "x")


def test_unknown_key_of_a_run_file(refused, tmp_path):
    (tmp_path / "run.yaml").write_text("temprature: 1\n")
    assert "temperature" in refused("run", "counter", "--config", "run.yaml")


def test_no_model_at_all(refused):
    assert "--model local" in refused("run", "counter")


def test_server_that_does_not_run(refused):
    said = refused("run", "counter", "--base-url", "http://127.0.0.1:9/v1", "--model", "x")
    assert "no model server at http://127.0.0.1:9/v1" in said


def test_wrong_api_key(refused):
    with FakeServer(lambda request: text("hi"), api_key="right") as server:
        said = refused("run", "counter", "--base-url", server.url,
                       env={"OPENAI_API_KEY": "wrong-key"})  # fmt: skip
    assert "refused the API key" in said
    assert "wrong-key" not in said


def test_unknown_model_with_those_there_are(refused, server):
    said = refused("run", "counter", "--base-url", server.url, "--model", "gamma")
    assert "no model 'gamma'" in said
    assert "alpha, beta" in said


def test_model_to_be_chosen(refused, server):
    assert "alpha, beta" in refused("run", "counter", "--base-url", server.url)


@pytest.mark.parametrize("out", ["/proc/nowhere/run", "taken"])
def test_unwritable_output_folder(refused, server, tmp_path, out):
    (tmp_path / "taken").write_text("a file")
    said = refused("run", "counter", "--base-url", server.url, "--model", "alpha", "--out", out)
    assert out in said


def test_a_folder_with_something_else_in_it(refused, server, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("mine")
    said = refused("run", "counter", "--base-url", server.url, "--model", "alpha", "--out", "a")
    assert "thesis.tex" in said


@pytest.mark.parametrize("option", ["--samples", "--limit", "--concurrency", "--max-turns"])
def test_numbers_that_make_no_sense(refused, server, option):
    name = option.strip("-").replace("-", "_")
    said = refused("run", "counter", "--base-url", server.url, "--model", "alpha", option, 0)
    assert name in said


def test_metrics_of_no_run(refused, tmp_path):
    assert "no run folder" in refused("metrics", tmp_path)


def test_new_refuses_an_existing_folder(refused, tmp_path):
    (tmp_path / "mine").mkdir()
    assert "exists already" in refused("new", "mine")


def test_new_refuses_what_is_no_name(refused):
    assert "cannot be a Python package" in refused("new", "my-env")


@pytest.mark.parametrize(
    "text",
    ["when: 2024-13-45", "seed: " + "9" * 5000, "env: " + "[" * 3000, "env: &a {}\nsampling: *a",
     "a: [", "limit: !!timestamp x"],
)  # fmt: skip
def test_a_run_file_that_is_no_plain_yaml(refused, tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    assert "run.yaml is not valid YAML: " in refused("run", "counter", "--config", "run.yaml")


@pytest.mark.parametrize("text", ["sampling: 3", "env: hello", "models: [a]"])
def test_a_group_of_a_run_file_that_is_no_group(refused, tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    said = refused("run", "counter", "--config", "run.yaml", "--env.size", 3, "--sampling.k", 1)
    assert "must be keys and values" in said


def test_an_empty_group_of_a_run_file_is_empty(athlos, server, tmp_path):
    (tmp_path / "run.yaml").write_text("env: null\nsampling:\n")
    done = athlos("run", "counter", "--config", "run.yaml", "--base-url", server.url,
                  "--model", "alpha", "--env.size", 2)  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("option", ["--sampling.x", "--env.size"])
def test_a_dotted_value_that_is_no_yaml(refused, server, option):
    said = refused("run", "counter", "--base-url", server.url, option, "[1")
    assert f"{option} is not valid YAML" in said


@pytest.mark.parametrize("option", ["--deadline", "--call-deadline"])
@pytest.mark.parametrize("value", ["nan", "0", "-1", "inf"])
def test_deadlines_that_make_no_sense(refused, server, option, value):
    said = refused("run", "counter", "--base-url", server.url, "--model", "alpha", option, value)
    assert f"{option.strip('-').replace('-', '_')} must be" in said


@pytest.mark.parametrize(
    ("option", "value"),
    [("temperature", "nan"), ("temperature", "inf"), ("temperature", -1), ("max-tokens", 0),
     ("top-p", 0), ("top-p", 1.5)],
)  # fmt: skip
def test_sampling_that_makes_no_sense(refused, server, option, value):
    said = refused("run", "counter", "--base-url", server.url, "--model", "alpha",
                   f"--{option}", value)  # fmt: skip
    assert option.replace("-", "_") in said


@pytest.mark.parametrize("option", ["--split", "--config", "--stop", "--tasks", "--out"])
def test_options_that_are_empty(refused, server, option):
    said = refused("run", "counter", "--base-url", server.url, "--model", "alpha", option, "")
    assert f"'{option}' needs a value that is not empty" in said


def test_show_with_an_empty_option(refused):
    assert "not empty" in refused("show", "counter", "--split", "")


@pytest.mark.parametrize("name", ["athlos", "json", "types"])
def test_new_refuses_a_name_that_would_hide_another_package(refused, name):
    assert "would hide" in refused("new", name)
