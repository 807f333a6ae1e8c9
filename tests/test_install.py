"""What a base installation brings."""

import re
from importlib.metadata import PackageNotFoundError, requires


def needs(name, found):
    """The closure of a package's requirements, extras and other platforms left out."""
    found.add(name)
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return found
    for line in lines:
        if "extra ==" in line or 'sys_platform == "win32"' in line or "python_version <" in line:
            continue
        other = re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
        if other not in found:
            needs(other, found)
    return found


def test_the_base_installation_stays_small():
    found = needs("athlos", set())
    assert len(found) <= 15, sorted(found)
    assert {"click", "msgspec", "pyqwest", "rich", "pyyaml"} <= found
