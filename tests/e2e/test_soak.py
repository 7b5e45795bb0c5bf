"""The soak in its short form, with every kind of kill and some other faults; and that its verdict is one."""

from __future__ import annotations

import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "soak"))

import soak  # noqa: E402 (found by the line above)
from mail_load import Said  # noqa: E402
from samples import Sample, Series  # noqa: E402
from verdict import Findings, miscounts, wrong  # noqa: E402

ROUND_S = 8
ROUNDS = 9
# Of the other faults none loses packets: who is reset then is missed five minutes later, and the end waits for it.
SEED = 45


class ShortTest(unittest.TestCase):
    def test_all_is_exact(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "samples"
            findings = soak.soak(ROUNDS * ROUND_S / 60, SEED, ROUND_S, file, threading.Event())
            self.assertGreater(len(file.read_text().splitlines()), 20)
        self.assertEqual(list(wrong(findings)), [])
        self.assertEqual(sorted(findings.said), list(range(ROUNDS + 1)))
        self.assertEqual(len(findings.happened), ROUNDS - 2)
        self.assertEqual(sum("kill -9" in fault.name for fault in findings.happened), 3)
        for number, said in findings.said.items():
            self.assertGreater(min(said.accepted, said.tempfail, said.permfail), 0, f"round {number}: {said}")
        self.assertGreater(findings.hostile["clients"], 200)
        self.assertEqual(findings.status["connections"]["open"], 0)


class VerdictTest(unittest.TestCase):
    def setUp(self) -> None:
        sample = Sample(0, 10000, 5000, 30, 3)
        self.findings = Findings(1, frames=10, said={1: Said(10, 2, 1, 0, 0, 13)},
                                 counted={1: {"accepted": 10, "tempfail": 2, "permfail": 1}},
                                 fresh={"responder": sample}, idle={"responder": sample})

    def test_nothing_is_wrong(self) -> None:
        self.assertEqual(list(wrong(self.findings)), [])

    def test_rounds_are_added_up(self) -> None:
        self.findings.said[5] = Said(3, 0, 0, 0, 0, 3)
        self.assertEqual(len(list(wrong(self.findings))), 1)
        self.findings.counted[1]["accepted"] += 3
        self.assertEqual(list(wrong(self.findings)), [])

    def test_what_was_in_doubt_may_be_counted(self) -> None:
        said = Said(10, 2, 1, in_doubt=3, cut=1, begun=16)
        for accepted, tempfail, permfail, fine in ((10, 2, 1, True), (13, 2, 1, True), (14, 2, 1, False),
                                                   (9, 2, 1, False), (12, 4, 1, False), (10, 1, 1, True),
                                                   (10, 0, 1, False), (10, 2, 0, True)):
            with self.subTest(accepted=accepted, tempfail=tempfail, permfail=permfail):
                counted = {"accepted": accepted, "tempfail": tempfail, "permfail": permfail}
                self.assertEqual(not list(miscounts(said, counted)), fine)

    def test_descriptors_threads_leaks_and_hostile_counts(self) -> None:
        self.findings.idle = {"responder": Sample(9, 10000, 5000, 31, 4)}
        self.findings.seen = {"v4_to_port_25": 1}
        self.findings.hostile, self.findings.hostile_counted = {"accepted": 5, "in_doubt": 1}, 4
        self.assertEqual(len(list(wrong(self.findings))), 4)

    def test_memory_that_grows(self) -> None:
        for mb_an_hour, count in ((0.9, 0), (1.1, 1)):
            samples = [Sample(s, 10000 + int(mb_an_hour * 1024 * s / 3600), 5000, 30, 3) for s in range(0, 3600, 3)]
            self.findings.series = [Series("responder", 1, samples)]
            self.assertEqual(len(list(wrong(self.findings))), count, mb_an_hour)


if __name__ == "__main__":
    unittest.main()
