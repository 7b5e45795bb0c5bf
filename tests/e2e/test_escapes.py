"""What the guard stops is shown: who tried, from where to where, in the log and in the status."""

from __future__ import annotations

import unittest

import scene  # noqa: F401 (the way to the modules below)
import zones
from lab import HOST, LAN, wait_until
from world import World

GMAIL = sorted(address for address in zones.domain_addresses("gmail.com") if ":" not in address)[0]
# Somebody's rule that keeps connections from the divert, for one hook.
NOTRACK = "table inet foreign {{ chain c {{ type filter hook {hook} priority raw; tcp dport 25 notrack; }}; }}"
CONNECT = """
import socket, sys, time
open("/proc/self/comm", "w").write("sneaky")
for _ in range(int(sys.argv[2])):
    try:
        socket.create_connection((sys.argv[1], 25), timeout=3)
    except ConnectionRefusedError:
        continue
    sys.exit("not refused")
"""

FRAME = """
import socket, struct, sys, time
open("/proc/self/comm", "w").write("sneakier")
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
frames.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, socket.inet_aton("192.0.2.11"), socket.inet_aton(sys.argv[1]))
tcp = struct.pack("!HHIIBBHHH", 4242, 25, 1, 0, 0x50, 2, 1024, 0, 0)
for _ in range(5):
    try:
        frames.sendto(bytes(12) + struct.pack("!H", 0x0800) + ip + tcp, ("wan", 0x0800))
    except OSError:  # the kernel says that the frame was dropped
        continue
    sys.exit("not dropped")
time.sleep(0.3)
"""


class EscapesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World(with_postfix=False))
        cls.world.lab.run(HOST, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def tearDown(self) -> None:
        self.world.lab.run(HOST, "nft", "delete table inet foreign", check=False)
        self.assertEqual(self.world.oracle.seen(), {})

    def connect(self, space: str, times: int) -> None:
        self.world.lab.run(space, "setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", "python3", "-c",
                           CONNECT, GMAIL, str(times))

    def escape(self, path: str, packets: int) -> dict:
        """The one row of this path, once it has all its packets."""
        def rows() -> list[dict]:
            return [row for row in self.world.mxmirage.status()["escapes"] if row["path"] == path]

        wait_until(lambda: sum(row["packets"] for row in rows()) >= packets, 20, f"{packets} packets in the status")
        row, = rows()
        return row

    def test_untracked_connection_is_named(self) -> None:
        self.assertNotEqual(self.world.mxmirage.status()["guard"]["escape_queue"], "counters")
        self.world.lab.run(HOST, "nft", NOTRACK.format(hook="output"))
        self.connect(HOST, 3)
        row = self.escape("output", 3)
        self.assertEqual((row["uid"], row["gid"], row["to"], row["port"], row["packets"]),
                         (4321, 4321, GMAIL, 25, 3))
        if self.world.mxmirage.status()["guard"]["escape_queue"] != "nflog":
            self.assertEqual(row["process"], "sneaky")
        (line,) = [line for line in self.world.mxmirage.log().splitlines() if "escape path=output" in line]
        self.assertRegex(line, rf'uid=4321 process="sneaky" pid={row["pid"]} .* to={GMAIL} port=25 .*remedy="')
        self.assertRegex(self.world.mxmirage.command("status").stdout, rf"sneaky \(uid 4321, pid \d+\) +{GMAIL}")

    def test_packet_socket_is_named(self) -> None:
        """A SYN that never passes the IP stack, marked so that no rule by mark would divert it either."""
        self.world.lab.run(HOST, "python3", "-c", FRAME, GMAIL)
        row = self.escape("egress", 5)
        self.assertEqual((row["uid"], row["process"], row["device"], row["to"], row["port"], row["packets"]),
                         (0, "sneakier", "wan", GMAIL, 25, 5))

    def test_forwarded_packet_names_its_device(self) -> None:
        self.world.lab.run(HOST, "nft", NOTRACK.format(hook="prerouting"))
        self.connect(LAN, 2)
        row = self.escape("forward", 2)
        self.assertEqual((row["uid"], row["process"], row["from"], row["to"], row["packets"]),
                         (None, None, zones.LAN_ADDRESSES[0], GMAIL, 2))
        self.assertTrue(row["from_device"])

    def test_who_stops_it_does_not_depend_on_who_looks(self) -> None:
        """With the warden gone, the same connections are refused as before."""
        self.world.lab.run(HOST, "nft", NOTRACK.format(hook="output"))
        self.world.mxmirage.kill_both()
        try:
            self.connect(HOST, 3)
        finally:
            self.world.mxmirage.start()


if __name__ == "__main__":
    unittest.main()
