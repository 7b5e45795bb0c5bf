"""Connections without a pause, across whatever happens in the meantime."""

from __future__ import annotations

import json
import subprocess

import zones
from lab import HOST, Lab


class Knocks:
    """Context manager: knock.py at work, to every MX beyond the LAN. Afterwards `said` is what it says."""

    def __init__(self, lab: Lab, per_second: int) -> None:
        self._lab = lab
        self._per_second = per_second
        self.said: dict = {}

    def __enter__(self) -> Knocks:
        self._knocker = self._lab.start_python(HOST, "knock.py", str(self._per_second), *zones.internet_addresses(),
                                               stdout=subprocess.PIPE, text=True)
        self._knocker.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self._knocker.terminate()
        self.said = json.loads(self._knocker.communicate(timeout=30)[0])
