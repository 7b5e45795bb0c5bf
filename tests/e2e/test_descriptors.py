"""More connections than the responder has descriptors for: those too many wait in the backlog and are served as others
end; nothing is lost, nothing spins, and the user can ask and is told."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import unittest
from pathlib import Path

import scene  # noqa: F401 (finds the lab)
import zones
from lab import HOST, SOURCES_V4, Lab, wait_until
from mxmirage import ROOT, Mxmirage, default_binary
from oracle import Oracle

TOOLS = Path(os.environ.get("MXMIRAGE_BUILD", ROOT / "build")) / "tests" / "scale"
FEW, MANY = 1000, 20_000
TOO_MANY = 400
MESSAGES = 2000
BUSY_S = 3
TARGET = sorted(a for a in zones.internet_addresses() if ":" not in a)[0]


class DescriptorsTest(unittest.TestCase):
    def start(self, limit: int) -> None:
        self.lab = self.enterContext(Lab())
        self.oracle = Oracle(self.lab)
        self.oracle.canary()
        # Without the capability it cannot raise the limit by itself.
        limited = self.lab.directory / "mxmirage-limited"
        limited.write_text(f"#!/bin/sh\nexec prlimit --nofile={limit}:{limit} setpriv --bounding-set=-sys_resource "
                           f"{default_binary()} \"$@\"\n")
        limited.chmod(0o755)
        self.mxmirage = Mxmirage(self.lab, limited)
        self.mxmirage.start()
        self.addCleanup(self.mxmirage.stop)

    def fill(self, connections: int) -> subprocess.Popen:
        """All are established as the sender sees it, whoever has accepted them and when."""
        crowd = self.lab.start(HOST, TOOLS / "scale-connectors", SOURCES_V4[0], "198.51.100.1", 200, connections, 60,
                               stdout=subprocess.PIPE, text=True)
        self.addCleanup(crowd.stdout.close)
        said = json.loads(crowd.stdout.readline())
        self.assertEqual((said["established"], said["failed"]), (connections, 0), said)
        return crowd

    def open(self) -> int:
        return self.mxmirage.status()["connections"]["open"]

    def busy_s(self) -> float:
        fields = Path(f"/proc/{self.mxmirage.responder()}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check_full(self, limit: int, connections: int) -> None:
        """It is full, says so, takes no time for it, and answers those who ask."""
        responder = self.mxmirage.responder()
        wait_until(lambda: self.mxmirage.status()["connections"]["accept_pauses"] > 0, 20, "a pause of accept()")
        self.assertRegex(self.mxmirage.command("status").stdout, r"(?m)^held back +[1-9][0-9,]*  .*descriptors")
        opened = self.open()
        self.assertGreater(opened, 0.9 * limit)
        self.assertLess(opened, min(limit, connections))
        before = self.busy_s()
        time.sleep(BUSY_S)
        self.assertLess(self.busy_s() - before, 0.2 * BUSY_S)
        for _ in range(5):
            started = time.monotonic()
            self.assertEqual(self.open(), opened)
            self.assertLess(time.monotonic() - started, 5)
        said = self.mxmirage.log()
        self.assertIn("accept-paused", said)
        self.assertIn("raise the limit of open files", said)
        self.assertLess(len(said.splitlines()), 50, "the log is flooded")
        self.assertEqual(self.mxmirage.responder(), responder)

    def test_what_waits_is_served(self) -> None:
        self.start(FEW)
        crowd = self.fill(FEW + TOO_MANY)
        self.check_full(FEW, FEW + TOO_MANY)
        sender = self.lab.start(HOST, default_binary(), "gen", "--target", f"{TARGET}:25", "--domain", "example.com",
                                "--domain-suffix", "", "--concurrency", "50", "--message-count", str(MESSAGES), "--json",
                                "--duration", "120", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Timer(2, self.lab.stop, [crowd]).start()
        result = json.loads(sender.communicate(timeout=150)[0])
        self.assertEqual((result["sent"], result["failed"], result["broken_connections"]), (MESSAGES, 0, 0), result)
        self.mxmirage.wait_idle()
        status = self.mxmirage.status()
        self.assertEqual(status["messages"]["accepted"], MESSAGES)
        self.assertEqual(status["connections"]["total"], FEW + TOO_MANY + result["connections"])
        self.assertEqual(self.oracle.seen(), {})

    def test_at_20000(self) -> None:
        self.start(MANY)
        crowd = self.fill(MANY + TOO_MANY)
        wait_until(lambda: self.open() > 0.99 * MANY, 30, "20,000 connections")
        self.check_full(MANY, MANY + TOO_MANY)
        self.lab.stop(crowd)
        wait_until(lambda: self.open() == 0, 30, "no connection")
        self.assertEqual(self.mxmirage.status()["connections"]["total"], MANY + TOO_MANY)
        self.assertEqual(self.oracle.seen(), {})


if __name__ == "__main__":
    unittest.main()
