"""Real Postfix sends to real domains; everything is diverted, answered and counted as what it was."""

from __future__ import annotations

import unittest
from collections import Counter

import scene
import zones
from lab import SOURCES_V4, SOURCES_V6, wait_until
from world import World

MESSAGES = 500
LAN_MESSAGES = 20


class DeliveryTest(unittest.TestCase):
    """One run of mail to the internet and to the LAN, looked at from all sides."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = world = cls.enterClassContext(World())
        mxmirage, postfix = world.mxmirage, world.postfix
        cls.quiet = world.oracle.seen()
        cls.status_before = mxmirage.status()
        cls.sent = [cls.message_for(n) for n in range(MESSAGES)]
        cls.sent_to_lan = [scene.message(MESSAGES + n, f"user{n}@{zones.LAN_DOMAIN}")
                           for n in range(LAN_MESSAGES)]
        postfix.inject(cls.sent + cls.sent_to_lan)
        postfix.wait_delivered(120)
        mxmirage.wait_idle()
        log = postfix.log_since()
        cls.log = log
        cls.diverted = [d for d in log.deliveries if d.domain != zones.LAN_DOMAIN]
        # One transaction carries all recipients of a message at a domain, one log line each.
        cls.transactions = {(d.queue_id, d.address): d for d in cls.diverted}.values()
        cls.status = mxmirage.status()
        cls.domains = mxmirage.domains()
        cls.destinations = mxmirage.destinations()
        cls.sources = mxmirage.sources()

    @staticmethod
    def message_for(number: int) -> dict:
        domain = zones.DOMAINS[number % len(zones.DOMAINS)].name
        recipients = [f"user{number}@{domain}"] + ([f"second{number}@{domain}"] if number % 10 == 0 else [])
        return scene.message(number, *recipients, lines=2 + number % 60)

    def test_sender_believes_all_sent(self) -> None:
        expected = Counter(r for m in self.sent + self.sent_to_lan for r in m["to"])
        self.assertEqual(Counter(d.recipient for d in self.log.with_status("sent")), expected)
        self.assertEqual(len(self.log.deliveries), expected.total(), "every message at its first try")

    def test_sender_went_where_the_zone_says(self) -> None:
        for delivery in self.diverted:
            self.assertIn(delivery.address, zones.domain_addresses(delivery.domain), delivery)
        self.assertGreaterEqual(len({d.domain for d in self.diverted}), 12)
        families = Counter(":" in d.address for d in self.transactions)
        self.assertGreater(families[True], MESSAGES // 5, "too little over IPv6")
        self.assertGreater(families[False], MESSAGES // 5, "too little over IPv4")

    def test_recipient_domains(self) -> None:
        self.assertEqual(scene.increase({}, self.domains, "accepted"),
                         Counter(d.domain for d in self.diverted))

    def test_original_destinations(self) -> None:
        self.assertEqual(scene.increase({}, self.destinations, "accepted"),
                         Counter(d.address for d in self.transactions))
        self.assertEqual(scene.increase({}, self.destinations, "connections"),
                         Counter(d.address for d in self.transactions if not d.reused))
        self.assertLessEqual(self.destinations.keys() - {"other"}, set(zones.internet_addresses()))

    def test_sources(self) -> None:
        accepted = scene.increase({}, self.sources, "accepted")
        self.assertEqual(accepted.keys(), {*SOURCES_V4, *SOURCES_V6})
        self.assertEqual(sum(accepted.values()), MESSAGES)

    def test_status_adds_up(self) -> None:
        connections = sum(not d.reused for d in self.transactions)
        octets = sum(len(m["text"]) for m in self.sent)
        self.assertEqual(self.status_before["connections"]["total"], 0)
        self.assertEqual(self.status["connections"]["total"], connections)
        self.assertEqual(self.status["connections"]["undiverted"], 0)
        self.assertEqual(self.status["messages"]["accepted"], MESSAGES)
        self.assertEqual(self.status["recipients"]["accepted"], len(self.diverted))
        for kind in ("messages", "recipients"):
            self.assertEqual((self.status[kind]["tempfail"], self.status[kind]["permfail"]), (0, 0))
        # The sender adds one trace header to each.
        self.assertGreater(self.status["messages"]["bytes"], octets)
        self.assertLess(self.status["messages"]["bytes"], octets + 1000 * MESSAGES)
        for table in (self.destinations, self.sources):
            self.assertEqual(sum(row["bytes"] for row in table.values()), self.status["messages"]["bytes"])
        self.assertGreaterEqual(self.status["firewall"]["diverted"]["packets"], connections)
        self.assertTrue(self.status["guard"]["armed"])

    def test_nothing_left_the_host(self) -> None:
        self.assertEqual(self.quiet, {}, "before")
        self.assertEqual(self.world.oracle.seen(), {})
        self.assertGreater(self.world.oracle.frames(), 20, "the oracle has not even seen the DNS traffic")

    def test_lan_is_left_alone(self) -> None:
        kept = self.world.lan_mail()
        self.assertEqual(sorted((m["from"], m["to"], scene.without_trace(m["data"])) for m in kept),
                         sorted((m["from"], m["to"], m["text"]) for m in self.sent_to_lan))
        self.assertEqual({m["server"] for m in kept}, set(zones.LAN_ADDRESSES))
        self.assertLessEqual({m["peer"] for m in kept}, {*SOURCES_V4, *SOURCES_V6})
        self.assertNotIn(zones.LAN_DOMAIN, self.domains)
        self.assertFalse(self.destinations.keys() & set(zones.LAN_ADDRESSES))
        self.assertGreater(self.status["firewall"]["excluded"]["packets"],
                           self.status_before["firewall"]["excluded"]["packets"])


class RefusalTest(unittest.TestCase):
    """A local part may ask for a refusal; Postfix must take it for what it is."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World())

    def test_tempfail_is_deferred_and_permfail_bounced(self) -> None:
        postfix, mxmirage = self.world.postfix, self.world.mxmirage
        postfix.inject([scene.message(1, "tempfail@gmail.com"), scene.message(2, "permfail@gmail.com"),
                        scene.message(3, "fine@gmail.com")])
        wait_until(lambda: {"deferred", "bounced", "sent"} <= {
            d.status for d in postfix.log_since().deliveries}, 20, "a result for each message")
        postfix.drop_queue()
        mxmirage.wait_idle()
        log = postfix.log_since()
        deferred, = {(d.recipient, d.dsn[0], d.status) for d in log.with_status("deferred")}
        self.assertEqual(deferred, ("tempfail@gmail.com", "4", "deferred"))
        bounced, = log.with_status("bounced")
        self.assertEqual((bounced.recipient, bounced.dsn[0]), ("permfail@gmail.com", "5"))
        for delivery in (bounced, log.with_status("deferred")[0]):
            self.assertIn(delivery.address, zones.domain_addresses("gmail.com"))
            code = delivery.dsn[0]
            self.assertRegex(delivery.text, rf" said: {code}\d\d {delivery.dsn} .*\(in reply to RCPT TO command\)")
        sent, = (d for d in log.with_status("sent") if d.address)
        self.assertEqual(sent.recipient, "fine@gmail.com")
        replies = Counter(reply[0] for reply in log.refusals())
        recipients = mxmirage.status()["recipients"]
        self.assertEqual((recipients["accepted"], recipients["tempfail"], recipients["permfail"]),
                         (1, replies["4"], replies["5"]))
        gmail = mxmirage.domains()["gmail.com"]
        self.assertEqual((gmail["accepted"], gmail["tempfail"], gmail["permfail"]),
                         (1, replies["4"], replies["5"]))
        self.assertEqual(self.world.oracle.seen(), {})


if __name__ == "__main__":
    unittest.main()
