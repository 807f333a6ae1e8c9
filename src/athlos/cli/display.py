"""What `athlos run` shows while it runs, and at its end."""

from __future__ import annotations

import asyncio
import shlex
import time
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from athlos.cli.interrupts import goes_on
from athlos.cli.report import print_summary
from athlos.cli.terminal import console as make_console
from athlos.cli.terminal import print_json, printable
from athlos.engine import Collection

__all__ = ["Display", "print_result"]

_LIVE_INTERVAL = 0.25
_PLAIN_INTERVAL = 10.0
_SILENCE = 3.0  # seconds before the first attempt without a word


class Display:
    """A live display on a terminal, a line now and then elsewhere, nothing if `silent`."""

    def __init__(self, collection: Collection, *, silent: bool) -> None:
        self._collection = collection
        self._console = make_console(stderr=True)
        self._silent = silent
        self._live: Live | None = None
        if not silent and self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._ticker: asyncio.Task[None] | None = None
        self._announced = False

    def say(self, text: str) -> None:
        """Prints a line, above the live display if there is one."""
        self._console.print(Text(printable(text), style="yellow"))

    async def __aenter__(self) -> Self:
        if not self._silent:
            if self._live is not None:
                self._live.start()
            self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._live is not None:
            self._live.stop()
        if not (self._silent or self._announced) and self._collection.started is not None:
            self._announce()  # it ended before the first look at it

    async def _tick(self) -> None:
        began = last = time.monotonic()
        waiting = False
        while True:
            await asyncio.sleep(_LIVE_INTERVAL)
            collection = self._collection
            if collection.started is None:
                if not waiting and time.monotonic() - began >= _SILENCE:
                    waiting = True
                    self.say(f"waiting for {collection.preparing}")
                continue
            if not self._announced:
                self._announced = True
                self._announce()
            if self._live is not None:
                self._live.update(self._panel(), refresh=True)
            elif time.monotonic() - last >= _PLAIN_INTERVAL:
                last = time.monotonic()
                self._console.print(self._line(), soft_wrap=True)

    def _announce(self) -> None:
        collection = self._collection
        if collection.repaired:
            self.say(f"cut off {collection.repaired} bytes of a record torn by a crash")
        if collection.resumed:
            self._console.print(
                f"resuming {printable(collection.out)}: "
                f"{collection.resumed} of {collection.offered} are there already",
            )

    def _panel(self) -> RenderableType:
        collection = self._collection
        done = self._done()
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(collection.spec.environment.name, style="bold"),
            ProgressBar(total=collection.offered or 1, completed=done, width=30),
            Text(f"{done}/{collection.offered}"),
            Text(f"{collection.in_flight} in flight", style="dim"),
        )
        return Group(bar, self._line(figures_only=True))

    def _line(self, *, figures_only: bool = False) -> Text:
        collection = self._collection
        n, mean, half = collection.tally.live()
        parts = []
        if not figures_only:
            parts.append(f"{self._done()}/{collection.offered}, {collection.in_flight} in flight")
        if collection.started is not None:
            elapsed = max(time.monotonic() - collection.started, 1e-9)
            new = self._done() - collection.resumed
            rate = new / elapsed
            parts.append(f"{rate:.2f} rollouts/s" if rate < 100 else f"{rate:,.0f} rollouts/s")
            parts.append(f"{collection.tokens / elapsed:,.0f} tokens/s")
            left = (collection.offered or 0) - self._done()
            if rate > 0 and left > 0:
                parts.append(f"ETA {_clock(left / rate)}")
        if n and mean is not None:
            width = "" if half is None else f" ± {half:.3f}"
            parts.append(f"reward {mean:.3f}{width}")
        text = Text(" · ".join(parts))
        waiting, trouble = collection.waiting
        if trouble:
            calls = {0: "", 1: "1 call waits: "}.get(waiting, f"{waiting} calls wait: ")
            text.append(f" · {calls}{printable(trouble):.160}", style="yellow")
        classes: dict[str, int] = {}
        for failure in collection.failures:
            classes[failure.failure_class] = classes.get(failure.failure_class, 0) + 1
        for name, count in classes.items():
            text.append(f" · {count} {printable(name)}", style="bold red")
        return text

    def _done(self) -> int:
        return self._collection.done


def print_result(collection: Collection, *, as_json: bool) -> None:
    """Prints the closing table with the paths, or one JSON object."""
    summary = collection.summary()
    if as_json:
        result = {
            "out": None if collection.out is None else str(collection.out),
            "resumed": collection.resumed,
            "interrupted": collection.stopped,
            "ceiling": collection.ceiling or None,
            "metrics": summary,
        }
        print_json(result)
        return
    console = make_console()
    spec = collection.spec
    if collection.started is None and collection.resumed == collection.offered:
        console.print(
            f"nothing to do: all {collection.offered} rollouts are in {printable(collection.out)}",
            style="green",
        )  # fmt: skip
    print_summary(summary, console, title=f"{spec.environment.name} · {spec.model.name}")
    for failure in collection.failures[:3]:
        line = f"  {failure.id}: {failure.failure_class}: {failure.message}"
        console.print(Text(printable(line), "red"))
    if len(collection.failures) > 3:
        console.print(Text(f"  … {len(collection.failures) - 3} more in failures.jsonl", "red"))
    console.print()
    names = ["rollouts.jsonl", "metrics.json"]
    if collection.failures:
        names.insert(1, "failures.jsonl")
    for name in names:
        console.print(f"  {printable(collection.out)}/{name}", soft_wrap=True)
    if collection.ceiling:
        console.print(Text(printable(goes_on(collection, collection.ceiling)), "yellow"))
    elif collection.stopped:
        console.print(Text(printable(goes_on(collection)), "yellow"))
    elif not collection.complete and any(f.retryable for f in collection.failures):
        out = printable(shlex.quote(str(collection.out)))
        console.print(Text(f"the same command with --out {out} tries the failed ones again", "dim"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
