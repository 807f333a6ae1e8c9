"""A resources server of NeMo Gym by itself: python nemo_gym_server.py IMPLEMENTATION PORT"""

import importlib
import inspect
import sys
from unittest.mock import MagicMock

import uvicorn
from nemo_gym.base_resources_server import SimpleResourcesServer
from nemo_gym.server_utils import ServerClient

module = importlib.import_module(f"resources_servers.{sys.argv[1]}.app")
port = int(sys.argv[2])
(kind,) = (
    value
    for value in vars(module).values()
    if inspect.isclass(value)
    and issubclass(value, SimpleResourcesServer)
    and value.__module__ == module.__name__
)
settings = kind.model_fields["config"].annotation(
    host="127.0.0.1", port=port, entrypoint="app.py", name="server", domain="agent"
)
server = kind(config=settings, server_client=MagicMock(spec=ServerClient))
app = server.setup_webserver()
if "session" not in str(app.user_middleware).lower():
    server.setup_session_middleware(app)
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
