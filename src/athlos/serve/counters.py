"""Counters of a server process, and their text for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from athlos.serve.route import Route

__all__ = ["Counters", "exposition"]

Series = dict[str, float]

_HELP = {
    "requests_total": ("counter", "Requests answered, by endpoint and status."),
    "request_seconds_sum": ("counter", "Seconds that requests took, by endpoint."),
    "request_seconds_count": ("counter", "Requests that these seconds are of."),
    "sessions": ("gauge", "Sessions that are open."),
    "sessions_opened_total": ("counter", "Sessions that were opened."),
    "sessions_reaped_total": ("counter", "Sessions closed because nobody used them any more."),
    "sessions_refused_total": ("counter", "Sessions refused: there were too many."),
    "attempts": ("gauge", "Attempts under way that are no sessions."),
    "replayed_total": ("counter", "Requests answered with the reply of an earlier one."),
    "forwarded_total": ("counter", "Requests handed to the worker that has their session."),
}


class Counters:
    """Requests by environment, endpoint and status, and the time that they took."""

    def __init__(self) -> None:
        self.forwarded = 0
        self._requests: dict[tuple[Route | None, int], list[float]] = {}

    def add(self, route: Route | None, status: int, seconds: float) -> None:
        """Counts a request."""
        found = self._requests.get((route, status))
        if found is None:
            found = self._requests[route, status] = [0, 0.0]
        found[0] += 1
        found[1] += seconds

    def series(self, further: Mapping[str, float]) -> dict[str, Series]:
        """All figures: by name, and by labels as they are written."""
        made: dict[str, Series] = {name: {"": value} for name, value in further.items()}
        made["forwarded_total"] = {"": self.forwarded}
        for name in ("requests_total", "request_seconds_sum", "request_seconds_count"):
            made[name] = {}
        for (route, status), (count, seconds) in list(self._requests.items()):
            env = route.mount.name if route is not None and route.mount is not None else ""
            endpoint = "none" if route is None else route.label
            labels = f'environment="{_label(env)}",endpoint="{_label(endpoint)}"'
            for name, at, value in (
                ("requests_total", f'{labels},status="{status}"', count),
                ("request_seconds_sum", labels, seconds),
                ("request_seconds_count", labels, count),
            ):
                made[name][at] = made[name].get(at, 0) + value
        return made


def exposition(workers: Sequence[tuple[str, Mapping[str, Any]]]) -> bytes:
    """The text format, of the figures of each worker under its name.

    Source: Prometheus, exposition formats 0.0.4.
    """
    lines = []
    for name, (kind, about) in _HELP.items():
        full = f"athlos_serve_{name}"
        lines += [f"# HELP {full} {about}", f"# TYPE {full} {kind}"]
        for worker, series in workers:
            for labels, value in series.get(name, {}).items():
                given = ",".join(_nonempty((f'worker="{worker}"' if worker else "", labels)))
                lines.append(f"{full}{{{given}}} {value:g}" if given else f"{full} {value:g}")
    return "\n".join(lines).encode() + b"\n"


def _nonempty(parts: Iterable[str]) -> Iterable[str]:
    return [part for part in parts if part]


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
