"""The real servers that these tests speak to: one for all tests, started by the first that asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.backends import vllm_server

HERE = Path(__file__).parent
LOG = pytest.StashKey[Path]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        env = vllm_server.environment()
    except vllm_server.ServerError as e:
        raise pytest.UsageError(str(e)) from e
    if env is None:
        reason = "needs a vLLM environment in ATHLOS_VLLM: bash scripts/test-backends"
        for item in items:
            if item.path.is_relative_to(HERE) and "vllm_url" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def vllm_url(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[str]:
    """The base URL of a vLLM server with the tiny model, without `/v1`."""
    env = vllm_server.environment()
    assert env is not None
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    pytestconfig.stash[LOG] = log
    with vllm_server.serve(env, log) as url:
        yield url


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    log = config.stash.get(LOG, None)
    if exitstatus and log is not None and log.exists():
        terminalreporter.section(f"end of the log of vLLM, {log}")
        terminalreporter.write_line(vllm_server.tail(log))
