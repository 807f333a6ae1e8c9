"""Environments behind an OpenEnv server, with the library's own server."""

import socket
import threading
import time

import pytest
from tests.connect.playing import play

from athlos import ConfigError
from athlos.testing import call, scripted

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def library():
    pytest.importorskip("websockets", reason="websockets is not installed")
    return pytest.importorskip(
        "openenv.core.env_server.http_server", reason="openenv-core is not installed"
    )


def serve(app):
    """Runs the app in a thread; its port, and a function that stops it."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)

    def stop():
        server.should_exit = True
        thread.join(10)

    return port, stop


def application(http_server, text):
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State

    class Add(Action):
        """Adds to the counter."""

        amount: int

    class Say(Action):
        words: str

    class Seen(Observation):
        count: int = 0
        hint: str = ""

    class Counter(Environment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def reset(self, seed=None, episode_id=None, **kwargs):
            self.count, self.target = 0, 3
            return Seen(hint="Bring it to 3.")

        def step(self, action, timeout_s=None, **kwargs):
            self.count += len(action.words) if text else action.amount
            over = self.count >= self.target
            reward = float(self.count == self.target) if over else 0.25
            return Seen(count=self.count, hint="More.", done=over, reward=reward)

        @property
        def state(self):
            return State()

    return http_server.create_fastapi_app(
        Counter, Say if text else Add, Seen, max_concurrent_envs=16
    )


@pytest.fixture(scope="module", params=["numbers", "text"])
def counter(request, library):
    port, stop = serve(application(library, request.param == "text"))
    yield request.param, f"openenv+http://127.0.0.1:{port}"
    stop()


def test_an_action_is_a_tool_call_with_the_schema_of_the_server(counter):
    kind, url = counter
    values = ("a", "bb") if kind == "text" else (1, 2)
    field = "words" if kind == "text" else "amount"
    model = scripted(*(call("act", **{field: value}) for value in values))
    rollouts, failures = play(url, model, limit=4, config={"instructions": "Count."})
    assert failures == []
    assert [r.reward for r in rollouts] == [1.25] * 4
    assert rollouts[0].extra["episode"] == {"steps": 2, "done": True}
    opening = rollouts[0].messages[0].text
    assert opening.startswith("Count.")
    assert "Bring it to 3." in opening
    assert rollouts[0].messages[2].text == '{"count":1,"hint":"More."}'


def test_the_last_reward_may_be_what_counts(counter):
    kind, url = counter
    model = scripted(call("act", **({"words": "abc"} if kind == "text" else {"amount": 3})))
    (rollout,), _ = play(url, model, limit=1, config={"total": "last"})
    assert rollout.reward == 1.0


def test_a_plain_message_is_an_action_where_an_action_is_a_text(counter):
    kind, url = counter
    (rollout,), failures = play(url, scripted("ab", "c"), limit=1)
    assert failures == []
    assert rollout.extra["episode"]["steps"] == (2 if kind == "text" else 0)


def test_what_the_server_cannot_read_is_said_to_the_model(counter):
    kind, url = counter
    bad = call("act", **({"words": [1]} if kind == "text" else {"amount": "many"}))
    good = call("act", **({"words": "abc"} if kind == "text" else {"amount": 3}))
    (rollout,), failures = play(url, scripted(bad, good), limit=1)
    assert failures == []
    assert (rollout.reward, rollout.tool_errors) == (1.0, 1)
    assert rollout.messages[2].text.startswith("Error: ")


def test_a_run_does_not_begin_without_a_server(library):
    with pytest.raises(ConfigError, match="/schema"):
        play("openenv+http://127.0.0.1:1", scripted("x"), limit=1, config={"wait": 0})


def test_sessions_are_closed(counter):
    kind, url = counter
    model = scripted(call("act", **({"words": "abc"} if kind == "text" else {"amount": 3})))
    # more episodes than sessions that the server has at once
    rollouts, failures = play(url, model, limit=40, concurrency=4)
    assert (len(rollouts), failures) == (40, [])
