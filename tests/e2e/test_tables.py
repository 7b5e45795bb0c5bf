"""250,000 domains, 100,000 destinations and 10,000 sources, by real connections through the divert: with tables of
that size each has its row, and reading them all disturbs nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

import scene
from lab import HOST
from mxmirage import ROOT
from world import World

DOMAINS, DESTINATIONS, SOURCES = 250_000, 100_000, 10_000
CROWD = ROOT / "tests" / "scale" / "crowd.py"
RESIDENT_MAX_MB = 150  # of the responder, while it writes the longest answer


class TablesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World(with_postfix=False))
        cls.lab, cls.mxmirage = cls.world.lab, cls.world.mxmirage
        cls.mxmirage.stop()
        file = cls.mxmirage.file
        file.write_text(file.read_text().replace("[counts]\n", f"[counts]\ndomains = {DOMAINS}\n"
                                                 f"destinations = {DESTINATIONS}\nsources = {SOURCES}\n"))
        cls.mxmirage.start()
        # Where the test's sources are at home.
        cls.lab.run(HOST, "ip", "route", "add", "local", "2001:db8:0:3::/64", "dev", "lo")

    def crowd(self, *argv: object) -> subprocess.Popen:
        return self.lab.start(HOST, sys.executable, CROWD, *argv, stdout=subprocess.PIPE, text=True)

    def finish(self, crowd: subprocess.Popen) -> dict:
        said = json.loads(crowd.communicate(timeout=300)[0])
        self.assertEqual(crowd.returncode, 0)
        return said

    def timed(self, verb: str) -> tuple[dict, float]:
        started = time.monotonic()
        answer = self.mxmirage.json(verb)
        return answer, time.monotonic() - started

    def note(self, text: str) -> None:
        if os.environ.get("MXMIRAGE_FIGURES"):
            print(text, file=sys.stderr)

    def test_destinations_and_sources(self) -> None:
        said = self.finish(self.crowd("connections", DESTINATIONS, SOURCES))
        self.assertEqual(said["greeted"], DESTINATIONS)
        self.mxmirage.wait_idle()
        for verb, key, rows, each in (("destinations", "address", DESTINATIONS, 1),
                                      ("sources", "address", SOURCES, DESTINATIONS // SOURCES)):
            answer, seconds = self.timed(verb)
            own = [row for row in answer[verb] if row[key].startswith("2001:db8:")]
            self.assertEqual(len({row[key] for row in own}), rows)
            self.assertEqual({row["connections"] for row in own}, {each})
            self.assertEqual(answer["other"]["connections"], 0)
            self.note(f"{verb}: {rows} rows, read in {seconds:.2f} s")
        self.assertEqual(self.world.oracle.seen(), {})
        self.note(f"{DESTINATIONS} connections in {said['seconds']:.1f} s")

    def test_domains(self) -> None:
        """They are read again and again while they come: never fewer, never with another count than one."""
        before = self.mxmirage.domains()
        crowd = self.crowd("recipients", DOMAINS)
        seen, slowest = 0, 0.0
        while crowd.poll() is None:
            answer, seconds = self.timed("domains")
            slowest = max(slowest, seconds)
            self.assertGreaterEqual(len(answer["domains"]), seen)
            seen = len(answer["domains"])
            self.assertLessEqual({row["accepted"] for row in answer["domains"]}, {0, 1})
            started = time.monotonic()
            self.mxmirage.status()
            self.assertLess(time.monotonic() - started, 5)
        said = self.finish(crowd)
        self.assertEqual(said["accepted"], DOMAINS)
        self.mxmirage.wait_idle()
        answer, seconds = self.timed("domains")
        self.assertEqual(len(answer["domains"]) - len(before) + 1, DOMAINS)
        self.assertEqual({row["accepted"] for row in answer["domains"]}, {1})
        self.assertEqual(answer["other"]["accepted"], 0)
        responder = self.mxmirage.responder()
        most_mb = _most_resident_mb(responder)
        self.note(f"{DOMAINS} domains in {said['seconds']:.1f} s while they were read; all read in {seconds:.2f} s, "
                  f"at most {slowest:.2f} s; responder at most {most_mb:.0f} MB")
        if not scene.sanitized(responder):
            self.assertLess(most_mb, RESIDENT_MAX_MB)


def _most_resident_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    unittest.main()
