"""Simulated servers for the tests of the model client."""

import asyncio

import msgspec
from tests.fake_server import text

from athlos.models.transport import Response, TransportError

OK = msgspec.json.encode(text("hi"))
MODELS = b'{"data": [{"id": "m"}]}'


class Server:
    """A transport that answers after some seconds, or does what `fault` says.

    Attributes:
        fault: None, "refused", "hang", a status, or a status with headers.
        sent: Chat requests up to now.
        most: The most that were under way at once.
        times: When each came.
    """

    def __init__(self, latency=1.0, *, models=MODELS, reply=OK):
        self.latency = latency
        self.fault = None
        self.sent = self.under_way = self.most = 0
        self.times = []
        self.models = models
        self.reply = reply

    async def send(self, method, path, body=None):
        if path == "/models":
            if self.fault == "refused":
                raise TransportError("connect", "connection refused")
            return Response(200, {}, self.models)
        self.sent += 1
        self.times.append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.answer()
        finally:
            self.under_way -= 1

    async def answer(self):
        fault = self.fault
        if fault is None:
            await asyncio.sleep(self.latency)
            if self.fault == "refused":  # it died meanwhile
                raise TransportError("reset", "connection reset")
            return Response(200, {}, self.reply)
        if fault == "refused":
            raise TransportError("connect", "connection refused")
        if fault == "hang":
            await asyncio.sleep(3600)
        status, headers = fault if isinstance(fault, tuple) else (fault, {})
        return Response(status, headers, b"out of order")

    async def outage(self, after, seconds, fault):
        await asyncio.sleep(after)
        self.fault = fault
        await asyncio.sleep(seconds)
        self.fault = None

    async def close(self):
        pass
