"""The ways past Postfix: through the host from a container or guest, to the listener itself, to the host."""

from __future__ import annotations

import unittest

import scene
import zones
from lab import HOST, LAN, LAN_GATEWAY_V4, LAN_GATEWAY_V6, SOURCES_V4, LabError, wait_until
from postfix import inject
from world import World

GMAIL = sorted(zones.domain_addresses("gmail.com"))
LISTENER_PORT = 4025


class PathsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World(with_postfix=False))
        for switch in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            cls.world.lab.run(HOST, "sh", "-c", f"echo 1 > /proc/sys/{switch}")

    def setUp(self) -> None:
        self.world.mxmirage.wait_idle()
        self.before = self.world.mxmirage.status()

    def tearDown(self) -> None:
        self.assertEqual(self.world.oracle.seen(), {})

    def inject(self, space: str, address: str, port: int = 25) -> None:
        inject(self.world.lab, space, address, port, [scene.message(1, "someone@gmail.com")])

    def refuse(self, space: str, address: str, port: int) -> None:
        with self.assertRaisesRegex(LabError, "Connection refused|timed out"):
            self.inject(space, address, port)

    def test_routed_mail_is_diverted(self) -> None:
        """Every address, from behind the host; the original destination and source are known."""
        for address in GMAIL:
            self.inject(LAN, address)
        self.world.mxmirage.wait_idle()
        destinations, sources = self.world.mxmirage.destinations(), self.world.mxmirage.sources()
        self.assertEqual({a: destinations[a]["accepted"] for a in GMAIL}, dict.fromkeys(GMAIL, 1))
        v4, v6 = zones.LAN_ADDRESSES
        self.assertEqual(sources[v4]["accepted"], sum(":" not in a for a in GMAIL))
        self.assertEqual(sources[v6]["accepted"], sum(":" in a for a in GMAIL))
        self.assertEqual(self.world.mxmirage.status()["connections"]["total"],
                         self.before["connections"]["total"] + len(GMAIL))

    def test_flush_is_repaired_and_nothing_counted_twice(self) -> None:
        """Others can take the static wall away: it comes back, and what our own tables counted stays as it is."""
        self.inject(HOST, sorted(zones.domain_addresses("yahoo.com"))[0])
        self.world.mxmirage.wait_idle()
        before = self.world.mxmirage.status()
        self.assertGreater(before["firewall"]["diverted"]["packets"], 0)
        self.world.lab.run(HOST, "nft", "flush", "ruleset")
        wait_until(lambda: self.world.mxmirage.status()["guard"]["repairs"] > before["guard"]["repairs"], 10, "repair")
        after = self.world.mxmirage.status()
        self.assertTrue(after["guard"]["static"])
        self.assertEqual(after["firewall"], before["firewall"])

    def test_listener_is_not_for_direct_use(self) -> None:
        paths = ((HOST, "127.0.0.1"), (HOST, "::1"), (LAN, LAN_GATEWAY_V4), (LAN, LAN_GATEWAY_V6))
        for space, address in paths:
            with self.subTest(space=space, address=address):
                self.refuse(space, address, LISTENER_PORT)
        after = self.world.mxmirage.status()
        self.assertEqual(after["connections"], self.before["connections"])
        self.assertGreaterEqual(after["firewall"]["undiverted_refused"]["packets"],
                                self.before["firewall"]["undiverted_refused"]["packets"] + len(paths))

    def test_own_addresses_are_not_diverted(self) -> None:
        """Nobody listens on port 25 of the host here: what is refused was not diverted."""
        for space, address in ((HOST, "127.0.0.1"), (HOST, "::1"), (HOST, SOURCES_V4[0]),
                               (LAN, LAN_GATEWAY_V4), (LAN, LAN_GATEWAY_V6)):
            with self.subTest(space=space, address=address):
                self.refuse(space, address, 25)
        self.assertEqual(self.world.mxmirage.status()["connections"], self.before["connections"])


if __name__ == "__main__":
    unittest.main()
