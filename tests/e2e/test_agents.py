"""`athlos run` with a program as the agent."""

import json

from tests.agents.programs import ASK
from tests.fake_server import FakeServer, text

SOURCE = ASK + 'print(ask(sys.stdin.read())[0], os.environ["FLAVOUR"])\n'


def test_a_program_is_the_agent_of_a_run(athlos, counter_file, tmp_path, monkeypatch):
    monkeypatch.setenv("FLAVOUR", "vanilla")
    (tmp_path / "agent.py").write_text(SOURCE)
    (tmp_path / "run.yaml").write_text("agent: {env: [FLAVOUR], time_limit: 60}\n")
    words = ["--agent-command", "python3 agent.py", "--config", "run.yaml", "--limit", "3"]
    with FakeServer(lambda request: text(request["messages"][-1]["content"])) as server:
        run = ["run", "./counter.py", "--base-url", server.url, "--out", "runs/a", *words]
        done = athlos(*run)
        assert done.returncode == 0, done.stderr
        (tmp_path / "agent.py").write_text(SOURCE + "\n")
        again = athlos(*run, "--samples", "2")
    records = (tmp_path / "runs/a/rollouts.jsonl").read_text().splitlines()
    assert len(records) == 3
    for record in map(json.loads, records):
        assert record["extra"]["agent"]["stdout"] == "200 vanilla\n"
        assert record["messages"][-1]["content"].startswith("Bring the counter")
    spec = json.loads((tmp_path / "runs/a/run.json").read_text())["spec"]
    assert spec["agent"]["command"] == ["python3", "agent.py"]
    # another program is another configuration
    assert again.returncode == 2
    assert "agent.files.agent.py was" in again.stderr


def test_a_program_that_is_not_there_is_a_mistake(athlos, counter_file):
    done = athlos("run", "./counter.py", "--agent-command", "no-such-agent", "--model", "local")
    assert done.returncode == 2
    assert "there is no program 'no-such-agent'" in done.stderr
