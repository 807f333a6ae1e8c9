"""Where NeMo Gym's first server is; here there is none, and its address tells runs apart."""

from dataclasses import dataclass

__all__ = ["HEAD_SERVER_KEY_NAME", "BaseServerConfig"]

HEAD_SERVER_KEY_NAME = "head_server"


@dataclass
class BaseServerConfig:
    """An address."""

    host: str
    port: int
