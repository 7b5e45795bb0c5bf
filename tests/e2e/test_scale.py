"""How many connections of one source address the installed rules carry at the same time.

Once the daemon answers them all, in several processes, as one may not have so many descriptors. Once its rules are
left standing by its death, and acceptors of the test's count on the listener ports what the rules do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from lab import HOST, SOURCES_V4, Lab, wait_until  # noqa: E402 (found by the line above)
from mxmirage import ROOT, Mxmirage  # noqa: E402
from oracle import Oracle  # noqa: E402

TOOLS = Path(os.environ.get("MXMIRAGE_BUILD", ROOT / "build")) / "tests" / "scale"

CONNECTIONS = 70_000
DESTINATIONS = 250
PROCESSES = 5
FIRST_DESTINATION = "198.51.100.1"
RANGE, ONE_PORT = (4025, 4032), (4025, 4025)
# Towards one listener port a connection differs from the next in its source port alone, and conntrack
# gives out the ports from 1024 up where the client's own is taken.
ONE_PORT_LIMIT = 65536 - 1024

CONNTRACK_MAX = Path("/proc/sys/net/netfilter/nf_conntrack_max")
CONNTRACK_NEEDED = 200_000


def why_not() -> str | None:
    """What this machine lacks, or None."""
    if not CONNTRACK_MAX.exists():
        return f"{CONNTRACK_MAX} is missing: load nf_conntrack"
    conntrack = int(CONNTRACK_MAX.read_text())
    if conntrack < CONNTRACK_NEEDED:
        return f"{CONNTRACK_MAX} is {conntrack}, {CONNTRACK_NEEDED} needed: raise it outside the namespace"
    return None


class ScaleTest(unittest.TestCase):
    def setUp(self) -> None:
        lacking = why_not()
        if lacking:
            self.skipTest(lacking)
        self.lab = self.enterContext(Lab())
        self.oracle = Oracle(self.lab)
        self.oracle.canary()

    def test_port_range_carries_70000(self) -> None:
        established, accepted = self.connect_through(RANGE, patience=30)
        self.assertEqual(established["first_error"], "")
        self.assertEqual(established["established"], CONNECTIONS)
        self.assertEqual(accepted["accepted"], CONNECTIONS)
        self.assertEqual(accepted["diverted"], CONNECTIONS, "came some other way than by the divert")
        self.assertEqual(accepted["destinations"], DESTINATIONS)
        self.assertTrue(all(accepted["by_port"].values()), accepted["by_port"])
        self.assertEqual(self.oracle.seen(), {})

    def test_one_port_ends_at_64512(self) -> None:
        established, accepted = self.connect_through(ONE_PORT, patience=5)
        self.assertEqual(established["first_error"], "", "what is too many is dropped in silence")
        self.assertLessEqual(established["established"], ONE_PORT_LIMIT)
        self.assertGreater(established["established"], ONE_PORT_LIMIT * 0.97)
        self.assertEqual(established["unanswered"], CONNECTIONS - established["established"])
        self.assertEqual(accepted["diverted"], established["established"])
        self.assertEqual(self.oracle.seen(), {}, "what found no place has left the host")

    def test_several_processes_answer_70000(self) -> None:
        mxmirage = Mxmirage(self.lab, processes=PROCESSES)
        mxmirage.start()
        self.assertEqual(len(mxmirage.siblings()), PROCESSES - 1)
        connectors = self.start("scale-connectors", SOURCES_V4[0], FIRST_DESTINATION, DESTINATIONS,
                                CONNECTIONS, 30)
        with connectors.stdout:
            established = json.loads(connectors.stdout.readline())
            wait_until(lambda: mxmirage.status()["connections"]["total"] >= CONNECTIONS, 60, "all to be accepted")
            status, destinations = mxmirage.status(), mxmirage.destinations()
            held = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (mxmirage.responder(), *mxmirage.siblings())]
            self.lab.stop(connectors)
        self.assertEqual((established["first_error"], established["established"]), ("", CONNECTIONS))
        self.assertEqual((status["connections"]["open"], status["connections"]["undiverted"]), (CONNECTIONS, 0))
        self.assertEqual(sum(row["connections"] for row in destinations.values()), CONNECTIONS)
        self.assertEqual(sum(1 for row in destinations.values() if row["connections"]), DESTINATIONS)
        self.assertTrue(all(descriptors > CONNECTIONS / PROCESSES / 2 for descriptors in held), held)
        mxmirage.wait_idle()
        mxmirage.stop()
        self.assertEqual(self.oracle.seen(), {})

    def connect_through(self, ports: tuple[int, int], patience: float) -> tuple[dict, dict]:
        """All connections at the same time; what the client's side says of them once none was established for so long,
        and the other side."""
        self.leave_rules(Mxmirage(self.lab), ports)
        acceptors = self.start("scale-acceptors", *ports, CONNECTIONS)
        self.assertEqual(acceptors.stdout.readline(), "ready\n")
        connectors = self.start("scale-connectors", SOURCES_V4[0], FIRST_DESTINATION, DESTINATIONS,
                                CONNECTIONS, patience)
        with acceptors.stdout, connectors.stdout:
            established = json.loads(connectors.stdout.readline())
            # The connectors hold on to theirs until the other side has counted.
            self.lab.stop(acceptors)
            accepted = json.loads(acceptors.stdout.readline())
            self.lab.stop(connectors)
        return established, accepted

    def leave_rules(self, mxmirage: Mxmirage, ports: tuple[int, int]) -> None:
        """The daemon loads its rules for these ports and dies; they must stand without it."""
        text = mxmirage.file.read_text()
        changed = text.replace(f'"{RANGE[0]}-{RANGE[1]}"', f'"{ports[0]}-{ports[1]}"')
        self.assertTrue(ports == RANGE or changed != text, text)
        mxmirage.file.write_text(changed)
        mxmirage.start()
        mxmirage.kill_both()

    def start(self, tool: str, *argv: object) -> subprocess.Popen:
        return self.lab.start(HOST, TOOLS / tool, *argv, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    unittest.main()
