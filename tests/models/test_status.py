"""What a person is told while a server is silent."""

import asyncio

from athlos.models import Model
from athlos.testing import FakeTransport, completions, simulate
from athlos.types import Message


def test_a_server_that_falls_silent_is_named():
    async def main():
        latency = [1.0]
        transport = FakeTransport(completions(lambda _: "Hi."), latency=lambda _: latency[0])
        model = Model(name="fake", transport=transport)
        ask = [Message("user", "Hello.")]
        await model.chat(ask)
        assert model.status() == ""
        await asyncio.sleep(1000)  # nobody asks
        latency[0] = 300.0
        calls = asyncio.gather(model.chat(ask), model.chat(ask))
        await asyncio.sleep(8)
        early = model.status()
        await asyncio.sleep(37)
        late = model.status()
        await calls
        return early, late, model.status()

    early, late, after = simulate(main)
    assert early == after == ""
    assert late == "no answer from in-process for 45 s, 2 requests under way"
