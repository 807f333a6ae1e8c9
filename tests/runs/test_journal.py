"""The append-only file: what does not fit is not there, and others' readers do not disturb it."""

import os
import subprocess
import sys

from athlos.runs.journal import Journal


def test_what_does_not_fit_on_the_disk_is_not_written_by_half(tmp_path):
    script = """
import resource, signal, sys
from pathlib import Path
from athlos.runs.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.append(b'"first"\\n')
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
try:
    journal.append(b'"' + b"x" * 100 + b'"\\n')
except OSError as error:
    print("refused", error.errno)
journal.append(b'"last"\\n')
"""
    path = tmp_path / "j.jsonl"
    said = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("refused")
    assert path.read_bytes() == b'"first"\n"last"\n'


def test_it_goes_on_where_the_file_ends(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"one\n")
    journal = Journal(path)
    journal.append(b"two\nthree\n")
    assert journal.size == 14
    assert list(journal.reader()) == [b"one\n", b"two\n", b"three\n"]
    assert list(journal.reader(4)) == [b"two\n", b"three\n"]
    assert journal.cut(8) == 6
    assert journal.cut(8) == 0
    journal.append(b"four")
    assert path.read_bytes() == b"one\ntwo\nfour"
    journal.close()


def test_only_what_is_new_is_synced(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    journal = Journal(tmp_path / "j.jsonl")
    journal.append(b"one\n")
    journal.sync()
    journal.sync()
    assert len(calls) == 1
    journal.append(b"two\n")
    journal.sync()
    assert len(calls) == 2
    journal.close()
    journal.close()
