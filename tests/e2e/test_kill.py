"""Nothing leaves the host and nothing is lost when the processes are stopped or killed under load."""

from __future__ import annotations

import itertools
import threading
import time
import unittest
from collections import Counter
from collections.abc import Callable

import scene
import zones
from knocks import Knocks
from lab import wait_until
from postfix import MailLog
from world import World

KNOCKS_PER_SECOND = 1000
BATCH = 50
PILE_UP_S = 0.5
THAWS_S = (0.002, 0.005, 0.01)
ENDS_MAX = 10


class Load:
    """Mail through Postfix without a pause, from start to stop, beside the connections of a prober."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._inject)
        self._knocks = Knocks(world.lab, KNOCKS_PER_SECOND)
        self.injected = 0

    def _inject(self) -> None:
        while not self._stop.is_set():
            numbers = range(self.injected, self.injected + BATCH)
            self._world.postfix.inject([
                scene.message(n, f"user{n}@{zones.DOMAINS[n % len(zones.DOMAINS)].name}", lines=400)
                for n in numbers])
            self.injected += BATCH

    def __enter__(self) -> Load:
        self._thread.start()
        self._knocks.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._knocks.__exit__()
        self.knocks = self._knocks.said


class KillTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World())
        cls.thaws = itertools.cycle(THAWS_S)

    def test_responder(self) -> None:
        self.end_under_load(self.kill_responders)

    def test_warden(self) -> None:
        self.end_under_load(lambda: self.replace_daemon(self.world.mxmirage.kill_warden))

    def test_warden_and_responder(self) -> None:
        self.end_under_load(lambda: self.replace_daemon(self.world.mxmirage.kill_both))

    def test_stop(self) -> None:
        self.end_under_load(lambda: self.replace_daemon(self.world.mxmirage.stop), cuts=False)

    def kill_responders(self) -> None:
        """In the course of its work, and at different moments of a crowd of sessions."""
        mxmirage = self.world.mxmirage
        mxmirage.kill_responder()
        for thaw_s in THAWS_S:
            self.wait_for_messages(50)
            mxmirage.pile_up(PILE_UP_S, thaw_s)
            mxmirage.kill_responder()
            self.assertEqual(self.world.oracle.seen(), {}, "at a kill")

    def replace_daemon(self, end: Callable[[], None]) -> None:
        """Some seconds without any process of ours, then a new daemon."""
        mxmirage, oracle = self.world.mxmirage, self.world.oracle
        mxmirage.pile_up(PILE_UP_S, next(self.thaws))
        end()
        frames = oracle.frames()
        time.sleep(2)
        self.assertEqual(oracle.seen(), {}, "while nobody was there")
        self.assertGreater(oracle.frames(), frames, "the load had stopped")
        mxmirage.start()

    def end_under_load(self, end: Callable[[], None], cuts: bool = True) -> None:
        """Again where it cut no session: on a busy machine it may find none."""
        world, postfix, mxmirage = self.world, self.world.postfix, self.world.mxmirage
        mark = postfix.mark()
        before, total_before = mxmirage.domains(), mxmirage.status()["messages"]["accepted"]
        with Load(world) as load:
            self.wait_for_messages(100)
            self.assertEqual(world.oracle.seen(), {}, "before")
            end()
            for _ in range(ENDS_MAX):
                if not cuts or postfix.log_since(mark).broken_sessions():
                    break
                self.wait_for_messages(50)
                end()
            self.assertGreaterEqual(mxmirage.status()["messages"]["accepted"], total_before + 100,
                                    "what was counted before the end is gone")
            self.wait_for_messages(100)
        self.assertEqual(world.oracle.seen(), {}, "during")
        postfix.wait_delivered(120)
        mxmirage.wait_idle()
        self.assertEqual(world.oracle.seen(), {}, "after")
        self.assertGreater(load.knocks["started"], KNOCKS_PER_SECOND / 2 * load.knocks["seconds"])
        self.assertGreater(load.knocks["connected"], 100)
        log = postfix.log_since(mark)
        self.check_counts(log, load.injected, before)
        if cuts:
            self.assertGreater(log.broken_sessions(), 0, "no session was cut")

    def wait_for_messages(self, count: int) -> None:
        base = self.world.mxmirage.status()["messages"]["accepted"]
        wait_until(lambda: self.world.mxmirage.status()["messages"]["accepted"] >= base + count,
                         60, f"{count} more messages")

    def check_counts(self, log: MailLog, injected: int, before: dict) -> None:
        sent = [d for d in log.with_status("sent") if d.address]
        self.assertEqual(len(sent), injected, "every message is delivered in the end")
        domain_of = {d.queue_id: d.domain for d in sent}
        in_doubt: Counter[str] = Counter()
        for queue_id, times in log.in_doubt().items():
            in_doubt[domain_of[queue_id]] += times
        counted = scene.increase(before, self.world.mxmirage.domains(), "accepted")
        for domain, delivered in Counter(d.domain for d in sent).items():
            self.assertGreaterEqual(counted[domain], delivered, f"{domain}: sent and not counted")
            self.assertLessEqual(counted[domain], delivered + in_doubt[domain],
                                 f"{domain}: counted more often than the sender's retries explain")


if __name__ == "__main__":
    unittest.main()
