"""The smart responder and name servers that are dead, slow or lie: mail goes on, and nobody else waits."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import scene  # noqa: F401 (finds the lab)
import smart
import zones
from client import Client, Reply
from lab import HOST
from mxmirage import Mxmirage
from nameserver import start_bad_nameserver
from world import World

ADDRESS = sorted(zones.domain_addresses(smart.WORKSPACE))[0]
CALM = smart.calm(smart.DEFAULT, smart.GOOGLE, smart.MICROSOFT)
ASKING_THE_BAD_ONE = f'{CALM}[dns]\nservers = "{zones.BAD_NAME_SERVER}"\n'

# The longest that an answer may be waited for, and what a busy machine may add.
PATIENCE, SLACK = 2.0, 0.7
# How a domain is answered for, by behaviour of its name server: the provider, and the time.
OUTCOMES = {
    "late": (smart.GOOGLE, 0.4, PATIENCE),
    "dead": (smart.DEFAULT, 1.0, PATIENCE),
    "too-late": (smart.DEFAULT, 1.0, PATIENCE),
    "wrong-id": (smart.DEFAULT, 0, PATIENCE),
    "wrong-question": (smart.DEFAULT, 0, PATIENCE),
    "wrong-owner": (smart.DEFAULT, 0, PATIENCE),
    "beyond": (smart.DEFAULT, 0, PATIENCE),
    "looping-name": (smart.DEFAULT, 0, PATIENCE),
    "garbage": (smart.DEFAULT, 0, PATIENCE),
    "failing": (smart.DEFAULT, 0, PATIENCE),
    "many": (smart.DEFAULT, 0, PATIENCE),
    "loop": (smart.DEFAULT, 0, PATIENCE),
    "chain": (smart.DEFAULT, 0, PATIENCE),
    "null": (smart.DEFAULT, 0, PATIENCE),
}
DEAD_DOMAINS, SESSIONS = 2000, 200
GROWTH_MAX = 30 << 20
ALIVE_SECONDS = 0.5


def timed_recipient(client: Client, recipient: str) -> tuple[Reply, float]:
    began = time.monotonic()
    reply, = client.recipients(recipient)
    return reply, time.monotonic() - began


def alive(mxmirage: Mxmirage) -> float:
    """Seconds until /livez has answered."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(mxmirage.socket))
        sock.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    if not answer.endswith(b"ok\n"):
        raise AssertionError(answer)
    return time.monotonic() - began


def resident(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def sanitized(pid: int) -> bool:
    """Built with a sanitizer, which keeps freed memory."""
    return "libasan" in Path(f"/proc/{pid}/maps").read_text()


class DnsTest(unittest.TestCase):
    MORE = ASKING_THE_BAD_ONE

    def setUp(self) -> None:
        self.world = self.enterContext(World(with_postfix=False, mode="smart", more=self.MORE))
        self.bad = start_bad_nameserver(self.world.lab)
        self.mxmirage = self.world.mxmirage

    def tearDown(self) -> None:
        self.assertEqual(self.world.oracle.seen(), {})

    def client(self) -> Client:
        return self.enterContext(Client(self.world.lab, ADDRESS))

    @contextmanager
    def nobody_waits(self, rate: int = 50) -> Iterator[None]:
        """Meanwhile others are greeted at once, and the control socket answers."""
        prober = self.world.lab.start_python(HOST, "prober.py", rate, ADDRESS, stdout=subprocess.PIPE, text=True)
        with prober.stdout:
            time.sleep(0.5)
            yield
            self.assertLess(alive(self.mxmirage), ALIVE_SECONDS)
            self.world.lab.stop(prober, 15)
            result = json.loads(prober.stdout.read())
        self.assertGreater(result["greeted"], 20, result)
        self.assertEqual((result["failed"], result["slow"]), (0, 0), result)

    def test_each_behaviour(self) -> None:
        """Every recipient is accepted in time, for the provider that follows from the answer."""
        def ask(behaviour: str) -> tuple[Reply, float]:
            with Client(self.world.lab, ADDRESS) as client:
                client.ehlo()
                client.mail("news@qa.example")
                began = time.monotonic()
                reply = client.say(f"RCPT TO:<user@tenant.{behaviour}.hostile.example>")
                took = time.monotonic() - began
                for command in ("DATA", "Subject: hello\r\n\r\n."):
                    client.send(f"{command}\r\n")
                    self.assertLess(client.getreply()[0], 400)
                return reply, took

        with self.nobody_waits(), ThreadPoolExecutor(len(OUTCOMES)) as pool:
            answers = dict(zip(OUTCOMES, pool.map(ask, OUTCOMES)))
            self.assertLess(alive(self.mxmirage), ALIVE_SECONDS)
        for behaviour, (provider, least, most) in OUTCOMES.items():
            with self.subTest(behaviour):
                reply, took = answers[behaviour]
                self.assertEqual(reply.code, 250, reply)
                self.assertGreaterEqual(took, least)
                self.assertLess(took, most + SLACK)
        providers = self.mxmirage.providers()
        self.assertEqual({name: row["accepted"] for name, row in providers.items() if row["accepted"]},
                         Counter(provider for provider, *_ in OUTCOMES.values()))
        self.assertEqual(self.mxmirage.status()["recipients"]["mx_mismatch"], 0)

    def test_a_second_question_is_not_asked(self) -> None:
        """What could not be found out is remembered, so that a queue of such mail does not wait 2 s a message."""
        client = self.client()
        _, first = timed_recipient(client, "one@cached.dead.hostile.example")
        reply, second = timed_recipient(client, "two@cached.dead.hostile.example")
        self.assertGreater(first, 1)
        self.assertEqual(reply.code, 250)
        self.assertLess(second, 0.2)

    def test_explain_meanwhile(self) -> None:
        began = time.monotonic()
        explained = self.mxmirage.json("explain", "user@explained.dead.hostile.example")
        self.assertLess(time.monotonic() - began, PATIENCE + SLACK)
        self.assertEqual(explained["provider"]["name"], smart.DEFAULT)
        self.assertEqual(explained["dns"]["status"], "no answer")

    def test_100_mx_hosts(self) -> None:
        explained = self.mxmirage.json("explain", "user@tenant.many.hostile.example")
        self.assertEqual(explained["dns"]["status"], "found")
        self.assertEqual(explained["dns"]["mx"][0], {"preference": 0, "host": "mx0.tenant.many.hostile.example"})
        self.assertEqual(len(explained["dns"]["mx"]), 32, "the first by preference")
        self.assertTrue(explained["site"])

    def test_null_mx(self) -> None:
        explained = self.mxmirage.json("explain", "user@tenant.null.hostile.example")
        self.assertIn("null MX", explained["dns"]["status"])

    def test_2000_dead_domains(self) -> None:
        lab, responder = self.world.lab, self.mxmirage.responder()
        numbers = range(DEAD_DOMAINS)
        batches = [numbers[n::SESSIONS] for n in range(SESSIONS)]

        def ask(batch: range) -> list[Reply]:
            with Client(lab, ADDRESS, timeout=60) as client:
                return client.recipients(*(f"user@d{n}.dead.hostile.example" for n in batch))

        with ThreadPoolExecutor(SESSIONS) as pool:
            # The same number of sessions and threads before: what a session takes is not what is measured.
            list(pool.map(lambda _: timed_recipient(Client(lab, ADDRESS), "user@gmail.com"), batches))
            before = resident(responder)
            with self.nobody_waits():
                replies = [reply for some in pool.map(ask, batches) for reply in some]
        grown = resident(responder) - before
        self.assertEqual(Counter(reply.code for reply in replies), {250: DEAD_DOMAINS})
        self.assertEqual(self.mxmirage.status()["dns"]["failed"], DEAD_DOMAINS)
        self.assertEqual(self.mxmirage.responder(), responder)
        if not sanitized(responder):
            self.assertLess(grown, GROWTH_MAX)

    def test_server_dies_and_comes_back(self) -> None:
        client = self.client()
        os.kill(self.bad.pid, signal.SIGSTOP)
        with self.nobody_waits():
            reply, took = timed_recipient(client, f"user@{smart.WORKSPACE}")
        self.assertEqual(reply.code, 250)
        self.assertLess(took, PATIENCE + SLACK)
        self.world.lab.stop(self.bad, 1)
        with self.nobody_waits():
            reply, took = timed_recipient(client, f"user@{smart.TENANT}")
        self.assertEqual(reply.code, 250)
        self.assertLess(took, PATIENCE + SLACK)
        start_bad_nameserver(self.world.lab)
        # Neither was lied to: what failed is asked again once its short time is over, others at once.
        self.assertEqual(self.mxmirage.json("explain", "user@hotmail.com")["dns"]["status"], "found")

    def test_well_known_domains_need_no_dns(self) -> None:
        self.world.lab.stop(self.bad, 1)
        before = self.mxmirage.providers()
        self.client().deliver("user@gmail.com")
        grown = scene.increase(before, self.mxmirage.providers(), "accepted")
        self.assertEqual(grown, {smart.GOOGLE: 1})


class DeadFromTheStartTest(DnsTest):
    """No name server at all when the daemon starts: it starts, answers, and takes mail from Postfix."""


if __name__ == "__main__":
    unittest.main()
