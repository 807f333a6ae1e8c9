"""Folders whose owner was killed are removed; those of the living stay."""

import os
import subprocess
import sys

import pytest

from athlos.errors import SandboxError
from athlos.sandbox import leftovers


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"athlos-sandboxes-{os.geteuid()}"


def test_what_a_killed_process_left_is_removed(place, tmp_path):
    code = (
        "from athlos.sandbox.leftovers import new_folder as n; f = n(); (f / 'x').mkdir(); print(f)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    left = done.stdout.strip()
    assert os.path.isdir(f"{left}/x")
    ours = leftovers.new_folder()
    assert [folder.name for folder in place.iterdir()] == [ours.name]


def test_a_process_with_the_same_number_is_another_one(place):
    place.mkdir(mode=0o700)
    (place / f"{os.getpid()}-1-abcd").mkdir()
    assert leftovers.reap() == [f"{os.getpid()}-1-abcd"]


def test_names_that_are_not_ours_stay(place):
    place.mkdir(mode=0o700)
    (place / "notes").mkdir()
    assert leftovers.reap() == []


def test_removal_follows_no_link_and_minds_no_permissions(tmp_path):
    (tmp_path / "kept").write_text("x")
    folder = tmp_path / "old"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "link").symlink_to(tmp_path)
    (folder / "a" / "b").chmod(0)
    (folder / "a").chmod(0)
    leftovers.remove(folder)
    assert not folder.exists()
    assert (tmp_path / "kept").read_text() == "x"


def test_a_place_that_others_can_enter_is_refused(place):
    place.mkdir(mode=0o755)
    with pytest.raises(SandboxError, match="only this user"):
        leftovers.new_folder()


def test_a_place_that_is_a_link_is_refused(place, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SandboxError, match="only this user"):
        leftovers.new_folder()
