"""Athlos under the import name of NeMo Gym, for trainers that import it. This is not NeMo Gym."""

from importlib.metadata import PackageNotFoundError, version


def _alone() -> None:
    try:
        found = version("nemo-gym")
    except PackageNotFoundError:
        return
    raise ImportError(
        f"nemo-gym {found} and athlos-nemo-gym are both installed, and both own the import name "
        "nemo_gym: their files are mixed. Uninstall both, and install the one that you want:\n"
        "    pip uninstall nemo-gym athlos-nemo-gym"
    )


_alone()
