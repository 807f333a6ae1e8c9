"""A server that is gone for a while costs a run time, and nothing else."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e.command import Command, accounting, lines
from tests.fake_server import FakeServer, Fault, text

TASKS = 700
REPLICATED = 1200
IN_FLIGHT = 24
OUTAGE = 3.0  # seconds, at least
ENVIRONMENT = """\
from athlos import Environment, Task, reward

class Many(Environment):
    @classmethod
    def tasks(cls, config, split):
        for n in range(10_000):
            yield Task(prompt=f"task {n}", id=f"t{n}")

    @reward
    def score(self, rollout):
        return 1.0
"""


class Service:
    """A server at one address, which can be killed and started anew there."""

    def __init__(self, latency=0.02):
        self._latency = latency
        self._lives = []
        self._stack = contextlib.ExitStack()
        self.start()

    def start(self):
        port = self._lives[-1].port if self._lives else 0
        server = FakeServer(lambda request: text("hi"), latency=self._latency, port=port)
        self._lives.append(self._stack.enter_context(server))

    def kill(self):
        self._stack.close()

    def suffer(self, fault):
        self._lives[-1].outage = fault

    @property
    def url(self):
        return self._lives[-1].url

    @property
    def received(self):
        return sum(len(server.requests) for server in self._lives)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


class Killed:
    begin = staticmethod(Service.kill)
    end = staticmethod(Service.start)
    arguments = ()
    says = "onnection refused"


class Overwhelmed:
    arguments = ()
    says = "HTTP 503: 'out of order'"

    @staticmethod
    def begin(service):
        service.suffer(Fault(503, body=b"out of order"))

    @staticmethod
    def end(service):
        service.suffer(None)


class Silent(Overwhelmed):
    arguments = ("--call-deadline", 2, "--attempts", 100)
    says = "no reply within"

    @staticmethod
    def begin(service):
        service.suffer(Fault(hang=True))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "many.py").write_text(ENVIRONMENT)
    return tmp_path


def many(folder, *services, tasks=TASKS, arguments=(), terminal=False):
    addresses = [word for service in services for word in ("--base-url", service.url)]
    return Command(folder, "./many.py", *addresses, "--limit", tasks, "--concurrency", IN_FLIGHT,
                   "--out", "a", *arguments, terminal=terminal)  # fmt: skip


def check_complete(run, folder, tasks=TASKS):
    assert run.end() == 0, run.said + run.output
    assert accounting(folder / "a")["scored"] == tasks


@pytest.mark.parametrize("terminal", [False, True], ids=["plain", "terminal"])
def test_an_outage_costs_hardly_a_request_and_is_explained(tmp_path, terminal):
    """All kinds at once: what takes time here is waiting."""
    with ThreadPoolExecutor(3) as threads:
        outages = (Killed, Overwhelmed, Silent)
        sent = list(
            threads.map(lambda outage: survive(tmp_path, outage, terminal=terminal), outages)
        )
    assert len(sent) == 3
    assert all(TASKS <= requests <= 1.1 * TASKS for requests in sent), sent


def survive(root, outage, *, terminal):
    """Collects through an outage; the requests that the server got."""
    folder = root / outage.__name__
    folder.mkdir()
    (folder / "many.py").write_text(ENVIRONMENT)
    with (
        Service() as service,
        many(folder, service, arguments=outage.arguments, terminal=terminal) as run,
    ):
        run.until(lambda: service.received > 100)
        outage.begin(service)
        began = time.monotonic()
        run.until(lambda: f"waiting for {service.url}: " in run.said and outage.says in run.said)
        run.until(lambda: time.monotonic() > began + OUTAGE)
        before = len(lines(folder / "a/rollouts.jsonl"))
        outage.end(service)
        check_complete(run, folder)
        assert before < TASKS
        assert "calls wait: waiting for" in run.said
        assert "next try" in run.said
        return service.received


def test_a_server_that_stands_still_is_not_asked_again(folder):
    with Service() as service, many(folder, service) as run:
        run.until(lambda: service.received > 100)
        Silent.begin(service)
        time.sleep(OUTAGE)
        assert service.received < 100 + 3 * IN_FLIGHT
        Silent.end(service)
        check_complete(run, folder)
        assert service.received == TASKS


def test_a_replica_that_dies_and_comes_back_costs_no_rollout(folder):
    with (
        Service(0.1) as one,
        Service(0.1) as other,
        many(folder, one, other, tasks=REPLICATED, terminal=True) as run,
    ):
        run.until(lambda: one.received > 50 and other.received > 50)
        other.kill()
        run.until(lambda: f"1 of 2 replicas is out: {other.url}: " in run.said)
        alone = one.received
        run.until(lambda: one.received > alone + 50)
        before = other.received
        other.start()
        run.until(lambda: other.received > before + 50)
        check_complete(run, folder, REPLICATED)
        assert not lines(folder / "a/failures.jsonl")
        assert one.received + other.received <= 1.1 * REPLICATED


def test_a_replica_that_is_dead_from_the_start_costs_no_rollout(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    dead = f"http://127.0.0.1:{port}/v1"
    with Service() as service, many(folder, service, arguments=("--base-url", dead)) as run:
        check_complete(run, folder)
        assert dead in run.said
        assert not lines(folder / "a/failures.jsonl")
        assert service.received == TASKS
