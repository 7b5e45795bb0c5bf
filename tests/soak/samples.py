"""What /proc tells of both processes while they run, a series for each process, and the slope of a series."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mxmirage import Mxmirage

EVERY_S = 3
WARM_UP_S = 660  # by then each fault but the kills has come once: what a first reload takes is taken
SLOPE_FROM_S = 900  # a series that is shorter behind its warm-up has no slope worth a verdict


class Sample(NamedTuple):
    at: float  # since the soak began
    resident_kb: int
    anonymous_kb: int
    descriptors: int
    threads: int


@dataclass
class Series:
    """One process from its start to its end."""

    role: str
    pid: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.samples[-1].at - self.samples[0].at if self.samples else 0

    def warm(self) -> list[Sample]:
        return [s for s in self.samples if s.at >= self.samples[0].at + WARM_UP_S]

    def slope_mb_h(self, column: str) -> float | None:
        """Least squares behind the warm-up; None where that is too short."""
        warm = self.warm()
        if len(warm) < 2 or warm[-1].at - warm[0].at < SLOPE_FROM_S:
            return None
        return slope([s.at / 3600 for s in warm], [getattr(s, column) / 1024 for s in warm])


def slope(x: list[float], y: list[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def read(pid: int, at: float) -> Sample | None:
    """None when the process is gone."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return Sample(at, int(status["VmRSS"].split()[0]), int(status["RssAnon"].split()[0]), descriptors,
                      int(status["Threads"]))
    except (OSError, KeyError):  # a zombie has no memory
        return None


class Sampler:
    """Context manager: a thread that takes a sample of both processes every few seconds, and writes each down."""

    def __init__(self, mxmirage: Mxmirage, begun: float, file: Path) -> None:
        self._mxmirage, self._begun, self._file = mxmirage, begun, file
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._current: dict[str, Series] = {}
        self.series: list[Series] = []

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> None:
        at = time.monotonic() - self._begun
        for role, pid in (("warden", self._mxmirage.warden), ("responder", self._mxmirage.responder())):
            sample = read(pid, at) if pid else None
            if not sample:
                continue
            series = self._current.get(role)
            if not series or series.pid != pid:
                series = self._current[role] = Series(role, pid)
                self.series.append(series)
            series.samples.append(sample)
            with self._file.open("a") as to:
                to.write(json.dumps({"role": role, "pid": pid, **sample._asdict()}) + "\n")

    def last(self, role: str) -> Series:
        return self._current[role]

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.take()


def busy() -> tuple[float, float]:
    """Ticks that the machine's CPUs have worked, and had, since it was started."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
