"""`mxmirage prove`: says that nothing leaves where nothing leaves, and which path leaks where one does; the
witness on the internet's side of the wire holds it to its word."""

from __future__ import annotations

import json
import subprocess
import unittest

import scene  # noqa: F401 (the way to the lab's modules)
from lab import HOST, LAN, SOURCES_V4, SOURCES_V6, Lab, LabError, wait_until
from mxmirage import Mxmirage
from oracle import Oracle

PROVEN, NOT_PROVEN, LEAK, NO_PRIVILEGE = 0, 1, 3, 77

CONNECTS = {"connect", "connect, marked", "connect, v4-mapped", "connect, MPTCP", "connect, fast open",
            "connect, source"}
RAW = {"raw IP", "raw IP, fragment"}
PACKET = {"packet socket", "packet socket, no queue", "packet socket, VLAN tag", "packet socket, two tags",
          "packet socket, wrong label", "packet socket, fragment", "packet socket, no TCP header"}
EVERY = CONNECTS | RAW | PACKET | {"connect, device", "forwarded"}


class Proof:
    """What prove said of a host, by its exit status and its JSON."""

    def __init__(self, done: subprocess.CompletedProcess) -> None:
        self.status = done.returncode
        if not done.stdout:
            raise LabError(f"prove: exit {done.returncode}: {done.stderr}")
        answer = json.loads(done.stdout)
        self.canaries: list[dict] = answer["canaries"]
        self.verdict: str = answer["verdict"]
        self.unproven: list[str] = answer["unproven"]
        self.not_tested: list[str] = answer["not_tested"]

    def paths(self, *happened: str) -> set[str]:
        return {c["path"] for c in self.canaries if c["happened"] in happened}

    def of(self, path: str) -> list[dict]:
        return [c for c in self.canaries if c["path"] == path]

    def faults(self) -> list[dict]:
        return [c for c in self.canaries if not c["in_order"]]


class ProveTest(unittest.TestCase):
    """Each test begins with a guarded host and may leave it in ruins."""

    def setUp(self) -> None:
        self.lab = self.enterContext(Lab())
        for switch in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            self.lab.run(HOST, "sh", "-c", f"echo 1 > /proc/sys/{switch}")
        self.oracle = Oracle(self.lab)
        self.oracle.canary()
        self.mxmirage = Mxmirage(self.lab)
        self.mxmirage.start()

    def prove(self) -> Proof:
        return Proof(self.mxmirage.command("prove", "--json"))

    def nft(self, *argv: str, stdin: str | None = None) -> None:
        self.lab.run(HOST, "nft", *argv, stdin=stdin)

    def tables(self) -> list[str]:
        return self.lab.run(HOST, "nft", "list", "tables").stdout.splitlines()

    def open_up(self) -> None:
        """No process and no rule of ours is left. Those of a killed owner are nobody's."""
        self.mxmirage.kill_both()
        self.delete_tables()

    def delete_tables(self, like: str = "") -> None:
        for table in self.tables():
            if like in table:
                self.nft("delete", *table.split())

    def test_guarded(self) -> None:
        """Diverted while we live, refused when we are dead; nothing leaves either way, by the internet's word too."""
        proof = self.prove()
        self.assertEqual((proof.status, proof.verdict, proof.faults(), proof.unproven), (PROVEN, "proven", [], []))
        self.assertEqual({c["path"] for c in proof.canaries}, EVERY)
        for path in CONNECTS | {"forwarded"}:
            for canary in proof.of(path):
                self.assertEqual(canary["happened"], "diverted", canary)
                self.assertTrue(canary["detail"].startswith("220 "), canary)
        self.assertEqual({c["way"] for c in proof.of("connect, source")} & {*SOURCES_V4, *SOURCES_V6},
                         {*SOURCES_V4, *SOURCES_V6})
        self.assertEqual({(c["way"], c["ip"]) for c in proof.of("packet socket")},
                         {(device, ip) for device in ("wan", "lan") for ip in (4, 6)})
        self.assertEqual({(c["way"], c["ip"]) for c in proof.of("forwarded")},
                         {(self.lab.name(LAN), ip) for ip in (4, 6)})
        self.assertEqual(self.oracle.seen(), {})

        self.mxmirage.kill_both()
        proof = self.prove()
        self.assertEqual((proof.status, proof.faults()), (PROVEN, []))
        for path in CONNECTS | {"forwarded"}:
            self.assertEqual({c["happened"] for c in proof.of(path)}, {"refused"}, path)
        self.assertEqual(self.oracle.seen(), {})

    def test_layers_removed_one_after_the_other(self) -> None:
        """From the inside out: the exit status, what leaks, what gets no answer. With each layer that goes, what
        it alone had held comes out, and no more than that."""
        self.mxmirage.kill_both()
        self.delete_tables("_static")
        for chains, status, leaks, silent in (
            ((), PROVEN, set(), set()),
            (("divert_output", "divert_prerouting"), PROVEN, set(), set()),
            (("guard_output", "guard_forward"), NOT_PROVEN, set(), CONNECTS | {"forwarded"}),
            (("guard_postrouting",), NOT_PROVEN, set(), CONNECTS | {"forwarded"}),
        ):
            with self.subTest(removed=chains):
                for chain in chains:
                    self.nft("delete", "chain", "inet", "mxmirage", chain)
                proof = self.prove()
                self.assertEqual((proof.status, proof.paths("left")), (status, leaks))
                self.assertLessEqual(silent, proof.paths("no answer"))
                self.assertEqual(self.oracle.seen(), {})
        self.delete_tables("netdev")
        proof = self.prove()
        self.assertEqual((proof.status, proof.paths("left")), (LEAK, EVERY))
        self.assertEqual(set(self.oracle.seen()),
                         {"v4_to_port_25", "v6_to_port_25", "v4_fragments", "v6_fragments"})

    def test_devices_chains_removed(self) -> None:
        """What goes past IP leaves, and is named with its device; the rest is held as before."""
        self.mxmirage.kill_both()
        self.delete_tables("netdev")
        proof = self.prove()
        self.assertEqual((proof.status, proof.verdict), (LEAK, "leak"))
        # A fragment without a port passes IP as well, where it is sent with IP_NODEFRAG.
        self.assertEqual(proof.paths("left"), PACKET | {"raw IP, fragment"})
        for canary in proof.of("packet socket, no queue") + proof.of("packet socket"):
            self.assertEqual(canary["device"], canary["way"])
        for path in CONNECTS | {"forwarded"}:
            self.assertEqual({c["happened"] for c in proof.of(path)}, {"refused"}, path)

    def test_one_device_forgotten(self) -> None:
        """A device that came when nobody was there to guard it."""
        self.mxmirage.kill_both()
        self.lab.run(HOST, "ip", "-batch", "-", stdin="link add late type veth peer name later\n"
                     "link set later up\nlink set late up\n")
        proof = self.prove()
        self.assertEqual(proof.status, LEAK)
        self.assertEqual({c.get("device") for c in proof.canaries if c["happened"] == "left"},
                         {"late", "later"})

    def test_open_host(self) -> None:
        """Every path, by name, in the table for people."""
        self.open_up()
        done = self.mxmirage.command("prove")
        self.assertEqual(done.returncode, LEAK, done.stdout)
        leaks = [line for line in done.stdout.splitlines() if " LEFT by " in line]
        for path in EVERY:
            self.assertTrue(any(line.startswith(path) for line in leaks), f"{path}:\n{done.stdout}")
        self.assertRegex(done.stdout, r"(?m)^LEAK: \d+ of \d+ canaries left this host$")

    def test_rewritten(self) -> None:
        """A foreign rule carries port 25 elsewhere: known for what it was, and where it went."""
        self.open_up()
        self.nft("-f", "-", stdin="table ip foreign {\nchain output {\ntype nat hook output priority -100;\n"
                                  "tcp dport 25 dnat to 203.0.113.99:587\n}\n}\n")
        proof = self.prove()
        self.assertEqual(proof.status, LEAK)
        for canary in proof.of("connect, source"):
            if canary["ip"] == 4:
                self.assertEqual(canary["detail"], "rewritten to 203.0.113.99 port 587", canary)

    def test_no_route(self) -> None:
        """Nothing can leave by IPv6 where there is no route; packet sockets are tried all the same."""
        self.lab.run(HOST, "ip", "-6", "route", "delete", "default")
        proof = self.prove()
        self.assertEqual((proof.status, proof.faults()), (PROVEN, []))
        happened = {c["happened"] for path in CONNECTS for c in proof.of(path) if c["ip"] == 6}
        self.assertEqual(happened, {"no route"})
        self.assertEqual({c["happened"] for c in proof.of("packet socket")}, {"stopped"})

    def test_no_way_out(self) -> None:
        """Where no canary can set out, that none left proves nothing: the host may be open once its network is up."""
        self.open_up()
        for device in ("wan", "lan"):
            self.lab.run(HOST, "ip", "link", "set", device, "down")
        proof = self.prove()
        self.assertEqual((proof.status, proof.faults()), (NOT_PROVEN, []))
        self.assertRegex("\n".join(proof.unproven), r"(?m)^no canary could set out")

    def test_each_port(self) -> None:
        """Another port that is said to be diverted, and is not, is a leak."""
        file = self.mxmirage.file
        file.write_text(file.read_text().replace("[divert]", "[divert]\nports = [25, 2525]"))
        proof = self.prove()
        self.assertEqual(proof.status, LEAK)
        self.assertEqual({c["port"] for c in proof.canaries if c["happened"] == "left"}, {2525})
        self.mxmirage.command("reload")
        wait_until(lambda: self.prove().status == PROVEN, 10, "the new port to be guarded")

    def test_everything_excluded(self) -> None:
        """Where canaries would be let through on purpose, they prove nothing, and none is sent."""
        self.mxmirage.configure("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24", "2001:db8::/32")
        self.mxmirage.command("reload")
        proof = self.prove()
        self.assertEqual((proof.status, proof.canaries), (NOT_PROVEN, []))
        self.assertEqual(len(proof.unproven), 2)
        self.assertEqual(self.oracle.seen(), {})

    def test_exclusion_chooses_another_range(self) -> None:
        self.mxmirage.configure("198.51.100.0/25", "2001:db8:25::/48")
        self.mxmirage.command("reload")
        proof = self.prove()
        self.assertEqual((proof.status, proof.faults()), (PROVEN, []))
        self.assertEqual({c["to"].rpartition(".")[0] for c in proof.canaries if c["ip"] == 4}, {"203.0.113"})

    def test_nobody_behind(self) -> None:
        """Namespaces that do not send through this one are left alone, and said to be."""
        proof = Proof(self.lab.run(LAN, self.mxmirage.binary, "prove", "--json", check=False))
        self.assertEqual(proof.of("forwarded"), [])
        self.assertRegex("\n".join(proof.not_tested), r"(?m)^forwarded: no container")
        self.assertRegex("\n".join(proof.not_tested), r"(?m)^other network namespaces whose way out does not .*: \d+$")

    def test_container_past_ip(self) -> None:
        """Frames of a container on a macvlan meet the device's chain alone."""
        self.lab.run(HOST, "ip", "-batch", "-", stdin=(
            f"link add link wan name child netns {self.lab.name(LAN)} type macvlan mode bridge\n"))
        self.lab.run(LAN, "ip", "-batch", "-", stdin=(
            "address add 192.0.2.77/25 dev child\naddress add 2001:db8:0:1::77/64 dev child nodad\n"
            "link set child up\nroute replace default via 192.0.2.1\n"
            "route replace default via 2001:db8:0:1::1\n"))
        proof = self.prove()
        self.assertEqual((proof.status, proof.faults()), (PROVEN, []))
        self.assertEqual([c["happened"] for c in proof.of("forwarded")], ["no answer"] * 2)
        self.assertEqual(self.oracle.seen(), {})
        self.mxmirage.kill_both()
        self.delete_tables("netdev")
        proof = self.prove()
        self.assertEqual([(c["happened"], c.get("device")) for c in proof.of("forwarded")], [("left", "wan")] * 2)

    def test_without_privilege(self) -> None:
        done = self.lab.run(HOST, "setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all",
                                  self.mxmirage.binary, "prove", check=False)
        self.assertEqual(done.returncode, NO_PRIVILEGE, done.stderr)
        self.assertIn("root", done.stderr)
        self.assertEqual(self.oracle.seen(), {})

    def test_status_names_the_canaries_and_is_not_filled_by_them(self) -> None:
        self.assertEqual(self.prove().status, PROVEN)
        status = self.mxmirage.status()
        self.assertGreater(len(status["escapes"]), 15)
        # What is forwarded for a container has no process here.
        self.assertEqual({row["process"] for row in status["escapes"]} - {None}, {"mxmirage prove"})
        shown = self.mxmirage.command("status").stdout.split("who tried")[1].split("\n\n")[0].splitlines()[2:]
        self.assertLessEqual(len(shown), 10, shown)
        self.assertEqual(sum(int(line.split()[0]) for line in shown[:-1]),
                         sum(row["packets"] for row in status["escapes"]))

    def test_leaves_no_trace(self) -> None:
        """No device, address, route, rule or connection of it is left."""

        def state() -> tuple[str, ...]:
            return tuple(self.lab.run(HOST, *argv).stdout for argv in (
                ("nft", "-s", "list", "ruleset"), ("ip", "-br", "address"), ("ip", "route")))

        before = state()
        self.assertEqual(self.prove().status, PROVEN)
        self.assertEqual(state(), before)
        wait_until(lambda: self.mxmirage.status()["connections"]["open"] == 0, 10, "canaries to be closed")


if __name__ == "__main__":
    unittest.main()
