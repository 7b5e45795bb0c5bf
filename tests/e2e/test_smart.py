"""Real Postfix, through the divert, to domains hosted by Google and by Microsoft: it is answered in their words,
defers, tries again, bounces and delivers, and the counts agree with its log."""

from __future__ import annotations

import re
import time
import unittest
from collections import Counter

import scene
import smart
from lab import wait_until
from world import World

MESSAGES = 60  # to each domain
HOSTS = {smart.WORKSPACE: smart.GOOGLE, smart.TENANT: smart.MICROSOFT}
# What nobody else says.
SIGNS = {smart.GOOGLE: r"gsmtp", smart.MICROSOFT: r"(?i)AS\d{4,}|protection\.outlook\.com|office|microsoft|AS\("}
CONFIGURATION = (smart.profile(smart.GOOGLE, defer=60, bounce=20)
                 + smart.profile(smart.MICROSOFT, defer=60, bounce=20))
_SAID = re.compile(r" said: (?P<code>\d\d\d)[ -](?P<text>.*) \(in reply to (?P<command>[^)]*?)(?: command)?\)")


class HostedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.world = world = cls.enterClassContext(World(mode="smart", more=CONFIGURATION))
        cls.corpora = {d: smart.Corpus(world.mxmirage, f"someone@{d}") for d in HOSTS}
        cls.recipients = [f"user{n}@{d}" for d in HOSTS for n in range(MESSAGES)]
        postfix = world.postfix
        postfix.inject([scene.message(n, r) for n, r in enumerate(cls.recipients)])
        wait_until(cls.both_are_deferred, 20, "deferred messages to both domains in the queue")
        deadline = time.monotonic() + 120
        while postfix.queue_length() and time.monotonic() < deadline:
            postfix.flush()
            time.sleep(0.5)
        postfix.wait_delivered(1)
        world.mxmirage.wait_idle()
        cls.log = postfix.log_since()
        cls.deliveries = [d for d in cls.log.deliveries if d.domain in HOSTS]
        cls.said = [(d, m) for d in cls.deliveries for m in [_SAID.search(d.text)] if m]

    @classmethod
    def both_are_deferred(cls) -> bool:
        cls.listing = cls.world.postfix.listing()
        cls.reasons = re.findall(r"^\s*\((.* said: .*)\)\n\s+(\S+)$", cls.listing, re.MULTILINE)
        return {recipient.rpartition("@")[2] for _, recipient in cls.reasons} == set(HOSTS)

    def test_every_message_ends(self) -> None:
        ended = Counter(d.recipient for d in self.deliveries if d.status in ("sent", "bounced"))
        self.assertEqual(ended, Counter(self.recipients))
        for domain in HOSTS:
            statuses = Counter(d.status for d in self.deliveries if d.domain == domain)
            self.assertGreaterEqual(min(statuses[s] for s in ("sent", "bounced", "deferred")), MESSAGES // 10, statuses)

    def test_retries_come_through(self) -> None:
        deferred = {d.recipient for d in self.deliveries if d.status == "deferred"}
        for status in ("sent", "bounced"):
            after = deferred & {d.recipient for d in self.deliveries if d.status == status}
            self.assertGreater(len(after), MESSAGES // 10, f"deferred, then {status}")

    def test_refusals_are_in_the_hosts_words(self) -> None:
        for delivery, said in self.said:
            kinds = self.corpora[delivery.domain].kinds(int(said["code"]), said["text"])
            self.assertIn({"deferred": "defer", "bounced": "bounce"}[delivery.status], kinds, delivery)
        for domain, host in HOSTS.items():
            texts = Counter(m["text"].partition(" ")[0] for d, m in self.said if d.domain == domain)
            self.assertGreaterEqual(len(texts), 4, f"variety: {texts}")
            signed = sum(bool(re.search(SIGNS[host], m["text"])) for d, m in self.said if d.domain == domain)
            self.assertGreater(signed, 0, f"none of the refusals is {host}'s")

    def test_queue_shows_them(self) -> None:
        """postqueue -p: behind each queue id the reason, then the recipient."""
        for reason, recipient in self.reasons:
            said = _SAID.search(reason)
            kinds = self.corpora[recipient.rpartition("@")[2]].kinds(int(said["code"]), said["text"])
            self.assertIn("defer", kinds, reason)

    def test_counts_agree_with_the_log(self) -> None:
        replies = {domain: Counter() for domain in HOSTS}
        for line in self.log.lines:
            said = re.search(r"\bhost (\S+)\[[^\]]*\] said: ([45])\d\d.* \(in reply to", line)
            if said:
                domain = smart.WORKSPACE if said[1].endswith(".google.com") else smart.TENANT
                replies[domain][said[2]] += 1
        providers, domains = self.world.mxmirage.providers(), self.world.mxmirage.domains()
        for domain, host in HOSTS.items():
            sent = sum(d.domain == domain for d in self.log.with_status("sent"))
            expected = (sent, replies[domain]["4"], replies[domain]["5"])
            for row in (providers[host], domains[domain]):
                self.assertEqual((row["accepted"], row["tempfail"], row["permfail"]), expected, domain)
        self.assertEqual({name for name, row in providers.items() if row["accepted"]}, set(HOSTS.values()))

    def test_odds_are_those_of_the_configuration(self) -> None:
        """Of all attempts 60 and 20 percent, within five standard errors."""
        rows = self.world.mxmirage.providers()
        for host in HOSTS.values():
            row = rows[host]
            attempts = row["accepted"] + row["tempfail"] + row["permfail"]
            for column, odds in (("tempfail", 0.6), ("permfail", 0.2)):
                error = (odds * (1 - odds) / attempts) ** 0.5
                self.assertAlmostEqual(row[column] / attempts, odds, delta=5 * error, msg=f"{host} {row}")

    def test_mismatch_never(self) -> None:
        self.assertEqual(self.world.mxmirage.status()["recipients"]["mx_mismatch"], 0)
        self.assertEqual(self.world.mxmirage.status()["dns"]["failed"], 0)

    def test_nothing_left_the_host(self) -> None:
        self.assertEqual(self.world.oracle.seen(), {})
        self.assertGreater(self.world.oracle.frames(), 20)


if __name__ == "__main__":
    unittest.main()
