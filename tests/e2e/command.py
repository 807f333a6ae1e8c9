"""`athlos run` as a process that can be watched, signalled and waited for."""

import json
import os
import re
import subprocess
import sys
import threading
import time

PATIENCE = 90.0  # seconds after which a test gives up: no assertion about speed


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Command:
    """A run in `folder`, with what it says so far in `said`; `terminal` gives stderr a terminal."""

    def __init__(self, folder, *arguments, terminal=False):
        self.folder = folder
        variables = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
        self._heard = bytearray()
        if terminal:
            ours, theirs = os.openpty()
        else:
            ours, theirs = os.pipe()
        self._output = (folder / "stdout").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "athlos", "run", *map(str, arguments)],
            cwd=folder,
            env={**variables, "COLUMNS": "250", "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._listener = threading.Thread(target=self._listen, args=[ours], daemon=True)
        self._listener.start()

    def _listen(self, ours):
        with os.fdopen(ours, "rb", buffering=0) as source:
            while True:
                try:
                    data = source.read(65536)
                except OSError:  # how a terminal says that its other end was closed
                    return
                if not data:
                    return
                self._heard += data

    @property
    def said(self):
        """What came on stderr, without what steers a terminal."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._heard.decode(errors="replace"))

    @property
    def output(self):
        return (self.folder / "stdout").read_text()

    def until(self, condition):
        """Waits for something that must happen while the run goes on."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"the run ended: {self.said}\n{self.output}"
            assert time.monotonic() < end, f"it never came: {self.said}"
            time.sleep(0.02)

    def end(self):
        """Waits for the end; the exit code."""
        code = self.process.wait(PATIENCE)
        self._listener.join(10)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._output.close()


def accounting(out):
    """Where the samples of a run are; checks that they are all somewhere, as the records say."""
    found = json.loads((out / "metrics.json").read_text())["accounting"]
    rollouts = lines(out / "rollouts.jsonl")
    failures = lines(out / "failures.jsonl")
    done = {(r["task_id"], r["sample"]) for r in rollouts}
    last = {
        key: f["failure_class"]
        for f in failures
        if (key := (f["task_id"], f["sample"])) not in done
    }
    given_up = sum(kind in ("cancelled", "refused") for kind in last.values())
    assert len(done) == len(rollouts), "a sample has two rollouts"
    assert found["scored"] == sum(r["status"] == "completed" for r in rollouts)
    assert found["truncated"] == sum(r["status"] == "truncated" for r in rollouts)
    assert found["cancelled"] == given_up
    assert found["failed"] == len(last) - given_up
    parts = ("scored", "truncated", "failed", "cancelled", "owed")
    assert found["offered"] == sum(found[part] for part in parts)
    return found
