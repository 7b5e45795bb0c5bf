"""Several processes of the responder: limits that hold over all of them, and what a death of one does."""

from __future__ import annotations

import os
import signal
import smtplib
import subprocess
import unittest
from contextlib import ExitStack

import scene
import smart
import zones
from client import Client, deliver
from lab import SOURCES_V4, wait_until
from scene import AHEAD, AHEAD_BY_NICE, precedence
from world import World

PROCESSES = 4
LIMIT = 7
GMAIL = sorted(address for address in zones.domain_addresses("gmail.com") if ":" not in address)
LIMITED = smart.profile(smart.GOOGLE, more=f"connection_limit = 0\nprovider_connection_limit = {LIMIT}\nmax_deliveries_per_connection = 0\n")


class ProcessesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(
            World(with_postfix=False, mode="smart", more=LIMITED, processes=PROCESSES))
        cls.mxmirage = cls.world.mxmirage

    def setUp(self) -> None:
        """Nothing is held against anybody. Destinations are known to each worker by itself: a limit at the banner is there once all know Google's."""
        self.assertEqual(self.mxmirage.command("reset").returncode, 0)
        wait_until(lambda: all(self.banner().endswith("gsmtp") for _ in range(10 * PROCESSES)), 60, "Google's banner")
        self.mxmirage.wait_idle()

    def tearDown(self) -> None:
        self.assertEqual(self.world.oracle.seen(), {})

    def banner(self) -> str:
        with Client(self.world.lab, GMAIL[0], SOURCES_V4[1]) as client:
            return client.banner.text

    def test_a_limit_holds_over_all(self) -> None:
        with ExitStack() as stack:
            for _ in range(LIMIT):
                stack.enter_context(Client(self.world.lab, GMAIL[0], SOURCES_V4[0]))
            for _ in range(LIMIT):
                with self.assertRaises(smtplib.SMTPConnectError) as raised:
                    Client(self.world.lab, GMAIL[0], SOURCES_V4[0])
                self.assertEqual(raised.exception.smtp_code, 421)

    def test_a_death_ends_all_and_all_come_back(self) -> None:
        lab, mxmirage = self.world.lab, self.mxmirage
        for victim in (0, PROCESSES - 2):
            with self.subTest(victim=victim):
                self.assertEqual(deliver(lab, GMAIL[0], "user@gmail.com").code, 250)
                mxmirage.wait_idle()
                cut = [Client(lab, GMAIL[0], SOURCES_V4[0]) for _ in range(LIMIT)]
                before, responder = mxmirage.domains(), mxmirage.responder()
                family = [responder, *mxmirage.siblings()]
                os.kill(family[victim], signal.SIGKILL)
                wait_until(lambda: mxmirage.responder() not in (None, responder), 60, "a new responder")
                wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family), 60, "the old ones' end")
                wait_until(lambda: len(mxmirage.siblings()) == PROCESSES - 1, 60, "its siblings")
                self.assertEqual(mxmirage.domains(), before)
                # What the dead had open is not held against the sender.
                self.setUp()
                self.test_a_limit_holds_over_all()
                for client in cut:
                    client.close()

    def test_a_sibling_that_hangs_is_replaced(self) -> None:
        responder, sibling = self.mxmirage.responder(), self.mxmirage.siblings()[1]
        os.kill(sibling, signal.SIGSTOP)
        wait_until(lambda: self.mxmirage.responder() not in (None, responder), 60, "a new responder")
        self.assertIn("does not answer", self.mxmirage.log())
        self.setUp()

    def test_none_has_a_privilege(self) -> None:
        for pid in (self.mxmirage.responder(), *self.mxmirage.siblings()):
            with open(f"/proc/{pid}/status") as status:
                said = dict(line.rstrip("\n").split(":\t") for line in status if ":\t" in line)
            self.assertEqual({said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
                             {"0000000000000000"})
            self.assertEqual(said["NoNewPrivs"], "1")

    def test_the_warden_alone_runs_ahead(self) -> None:
        # Real time is a matter of the kernel and the control group.
        in_real_time = subprocess.run(["chrt", "-r", "1", "true"], capture_output=True, check=False).returncode == 0
        self.assertEqual(precedence(self.mxmirage.warden), AHEAD if in_real_time else AHEAD_BY_NICE)
        for pid in (self.mxmirage.responder(), *self.mxmirage.siblings()):
            self.assertEqual(precedence(pid), (os.SCHED_OTHER, 0))


if __name__ == "__main__":
    unittest.main()
