"""Where servers are: base URLs and the API key, as a user gives them, to transports."""

from __future__ import annotations

import os
from collections.abc import Sequence

from athlos.errors import ConfigError
from athlos.models.transport import Transport

__all__ = ["http_transports", "invented", "read_urls"]


def http_transports(
    urls: Sequence[str], api_key_env: str | None, connect_timeout: float, connections: int
) -> list[Transport]:
    """A transport to each of the servers.

    Raises:
        ConfigError: There is none, a URL is not usable, or the variable of the key is not set.
    """
    if not urls:
        raise ConfigError(
            "no model server given",
            hint="Pass --base-url http://HOST:PORT/v1 (or set OPENAI_BASE_URL), or use the "
            "embedded model with --model local.",
        )
    from athlos.models.http import HttpTransport

    key = _api_key(api_key_env)
    return [
        HttpTransport(url, api_key=key, connect_timeout=connect_timeout, connections=connections)
        for url in urls
    ]


def _api_key(variable: str | None) -> str | None:
    key = os.environ.get(variable or "OPENAI_API_KEY", "").strip()
    if variable is not None and not key:
        raise ConfigError(f"the environment variable {variable}, for the API key, is not set")
    if not (key.isascii() and key.isprintable()):  # says where, never what
        name = variable or "OPENAI_API_KEY"
        raise ConfigError(f"the API key in the environment variable {name} is not plain text")
    return key or None


def read_urls(given: str | Sequence[str] | None) -> list[str]:
    """The base URLs in a sequence, or in text with commas between them.

    Raises:
        ConfigError: One is there twice.
    """
    parts = given.split(",") if isinstance(given, str) else list(given or ())
    urls = [part.rstrip("/") for part in parts if part]
    if len(set(urls)) < len(urls):
        raise ConfigError("a base URL is there twice; each replica has its own")
    return urls


def invented(count: int) -> list[str]:
    """What to call servers without a URL."""
    return ["in-process"] if count == 1 else [f"in-process-{n}" for n in range(1, count + 1)]
