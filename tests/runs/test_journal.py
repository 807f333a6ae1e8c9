"""The append-only file: whatever a kill leaves behind is mended when it is opened again."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.runs.journal import Journal


def line(value):
    return json.dumps(value).encode() + b"\n"


RECORDS = [line({"n": n, "text": "ä" * n}) for n in range(4)]
WHOLE = b"".join(RECORDS)


@pytest.mark.parametrize("size", range(len(WHOLE) + 1))
def test_a_file_torn_at_any_byte_keeps_its_whole_lines(tmp_path, size):
    path = tmp_path / "j.jsonl"
    path.write_bytes(WHOLE[:size])
    journal = Journal(path)
    journal.append(line("after"))
    journal.close()
    found = path.read_bytes().splitlines(keepends=True)
    complete = WHOLE[:size].count(b"\n")
    # a record that lacks only its newline is whole, and kept
    if size and WHOLE[size - 1 : size + 1] == b"}\n":
        complete += 1
    assert found == [*RECORDS[:complete], line("after")]


@given(st.binary(max_size=300))
def test_any_tail_leaves_a_file_of_whole_lines(tmp_path_factory, tail):
    path = tmp_path_factory.mktemp("j") / "j.jsonl"
    path.write_bytes(RECORDS[0] + tail)
    Journal(path).close()
    data = path.read_bytes()
    assert data.startswith(RECORDS[0])
    assert data.endswith(b"\n")


def test_a_tail_longer_than_a_block_is_found(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(RECORDS[1] + b'{"long": "' + b"x" * 300_000)
    journal = Journal(path)
    journal.close()
    assert path.read_bytes() == RECORDS[1]
    assert journal.repaired == 300_010


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


def test_closing_twice_is_fine(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.append(RECORDS[2])
    journal.close()
    journal.close()
    assert journal.unsynced == 0
    assert os.path.getsize(journal.path) == len(RECORDS[2])
