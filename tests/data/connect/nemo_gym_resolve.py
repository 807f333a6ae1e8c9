"""Resolves configurations with NeMo Gym's own parser: python nemo_gym_resolve.py ENV.yaml FILE...

Prints a line of JSON for each: its values without the defaults that the parser adds, or its error.
"""

import contextlib
import json
import sys
from pathlib import Path

from nemo_gym.global_config import GlobalConfigDictParser, GlobalConfigDictParserConfig
from omegaconf import OmegaConf

env, *files = sys.argv[1:]
for name in files:
    settings = GlobalConfigDictParserConfig(
        dotenv_path=Path(env), skip_load_from_cli=True, offline=True,
        initial_global_config_dict=OmegaConf.create({"config_paths": [name]}),
    )  # fmt: skip
    try:
        with contextlib.redirect_stdout(sys.stderr):
            parsed = GlobalConfigDictParser().parse(settings)
        answer = {"values": OmegaConf.to_container(parsed, resolve=True)}
    except Exception as error:  # whatever it is, the other side is compared with it
        answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
    print(json.dumps({"file": name, **answer}, default=str), flush=True)
