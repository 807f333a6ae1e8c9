import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from tests.fake_server import FakeServer, text

from athlos import read_rollouts

TOKEN = "a-token-of-some-length-1234567890"


@pytest.fixture
def fake():
    with FakeServer(lambda request: text("hi")) as server:
        yield server


def start(fake, folder, *arguments, env=None):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    command = [sys.executable, "-m", "athlos", "gateway", "--base-url", fake.url, "--port", "0"]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env={**variables, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert line.startswith("gateway at http://127.0.0.1:"), process.stderr.read()
    return process, line.split()[2]


def ask(url, key, body=None, method="POST"):
    request = urllib.request.Request(
        url, json.dumps(body or {}).encode(), {"authorization": f"Bearer {key}"}, method=method
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    return process.returncode, out + err


def test_rollouts_are_written_and_the_token_is_not_shown(fake, tmp_path):
    arguments = [
        "--token-env",
        "T",
        "--out",
        "kept",
        "--pin",
        "temperature=0.5",
        "--pin",
        "top_k=4",
    ]
    process, url = start(fake, tmp_path, *arguments, env={"T": TOKEN})
    opened = ask(f"{url}/rollouts", TOKEN, {"id": "a"})
    chat = {"messages": [{"role": "user", "content": "Hello"}]}
    said = ask(f"{opened['base_url']}/chat/completions", opened["api_key"], chat)
    ask(f"{url}/rollouts/a", TOKEN, {"reward": 1}, "DELETE")
    ask(f"{url}/rollouts", TOKEN, {"id": "b"})
    code, printed = end(process)
    assert (code, said["choices"][0]["message"]["content"]) == (0, "hi")
    assert TOKEN not in printed and opened["api_key"] not in printed
    found = list(read_rollouts(tmp_path / "kept"))
    assert [(r.id, r.reward, r.status) for r in found] == [
        ("a", 1.0, "completed"),
        ("b", 0.0, "truncated"),
    ]
    assert (fake.requests[0]["temperature"], fake.requests[0]["top_k"]) == (0.5, 4)


def test_a_token_is_made_and_shown_once(fake, tmp_path):
    process, url = start(fake, tmp_path)
    token = process.stderr.readline().split()[1]
    assert ask(f"{url}/rollouts", token, {"id": "a"})["id"] == "a"
    code, printed = end(process, signal.SIGINT)
    assert code == 0
    assert token not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--token-env", "NOT_SET"], "NOT_SET"),
        (["--pin", "temperature"], "KEY=VALUE"),
        (["--tokens", "exact"], "tokenizer"),
        (["--host", "256.1.1.1"], "cannot listen"),
    ],
)
def test_mistakes_are_told(fake, athlos, arguments, message):
    done = athlos("gateway", "--base-url", fake.url, "--port", "0", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
