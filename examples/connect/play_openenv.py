"""A server of OpenEnv and an attempt at it. Needs: pip install 'athlos[openenv]' openenv-core

With the argument `serve` it is only the server, on port 18732, until Ctrl-C.
"""

import asyncio
import sys
import threading
import time

import uvicorn
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State

import athlos
from athlos.testing import call, scripted


class Add(Action):
    """Adds to the counter."""

    amount: int


class Seen(Observation):
    count: int = 0


class Counter(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None, episode_id=None, **kwargs):
        self.count = 0
        return Seen()

    def step(self, action, timeout_s=None, **kwargs):
        self.count += action.amount
        return Seen(count=self.count, done=self.count >= 3, reward=float(self.count == 3))

    @property
    def state(self):
        return State()


PORT = 18732


def make_server():
    app = create_fastapi_app(Counter, Add, Seen, max_concurrent_envs=8)
    return uvicorn.Server(uvicorn.Config(app, port=PORT, log_level="error"))


def serve():
    server = make_server()
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server


async def main():
    server = serve()
    model = scripted(call("act", amount=1), call("act", amount=2))
    config = {"instructions": "Bring the counter to 3."}
    url = f"openenv+http://127.0.0.1:{PORT}"
    async for rollout in athlos.collect(url, model, limit=1, config=config):
        print(rollout.messages[0].text)
        print(f"reward {rollout.reward:g}")
    server.should_exit = True


if sys.argv[1:] == ["serve"]:
    make_server().run()
else:
    asyncio.run(main())
