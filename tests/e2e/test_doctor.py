"""doctor and tune, read as a person reads them: what is wrong with a host, and what to do about it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from lab import HOST, Lab, wait_until  # noqa: E402 (found by the line above)
from mxmirage import Mxmirage  # noqa: E402
from nameserver import start_nameserver  # noqa: E402

FALSE, USAGE, LEAK, PRIVILEGE = 1, 2, 3, 77
LISTEN = "import socket, time; s = socket.create_server(('127.0.0.1', {})); time.sleep(60)"
# A mount namespace of its own comes with `ip netns exec`: what is mounted ends with the command.
WITH_FILE = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


class DoctorTest(unittest.TestCase):
    def setUp(self) -> None:
        self.lab = self.enterContext(Lab())
        start_nameserver(self.lab)
        self.mxmirage = Mxmirage(self.lab, mode="smart")

    def nft(self, rules: str) -> None:
        self.lab.run(HOST, "nft", "-f", "-", stdin=rules)

    def findings(self, *argv: str, code: int = 0) -> list[dict]:
        """What doctor --json says, after it has ended with this code."""
        done = self.mxmirage.command("doctor", "--json", *argv)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout)["findings"]

    def finding(self, check: str, state: str, pattern: str, *argv: str, code: int = 0) -> dict:
        """The one finding of that check, state and text."""
        all_of_them = self.findings(*argv, code=code)
        matches = [f for f in all_of_them
                   if f["check"] == check and f["state"] == state and re.search(pattern, f["found"])]
        self.assertEqual(len(matches), 1, [f for f in all_of_them if f["check"] == check])
        return matches[0]

    def test_a_fit_host(self) -> None:
        findings = self.findings("--connections", "1000")
        self.assertEqual([f for f in findings if f["state"] in ("fail", "unknown")], [])
        for check in ("kernel", "nat", "tables", "flowtables", "iptables", "listeners", "ephemeral", "dns"):
            self.assertEqual({f["state"] for f in findings if f["check"] == check}, {"ok"}, check)
        self.assertEqual([f["found"] for f in findings if f["check"] == "dns"],
                         [f["found"] for f in findings if "203.0.113.53 knows the MX of gmail.com" in f["found"]])

    def test_a_line_each_for_people(self) -> None:
        self.nft("table ip theirs { chain out { type nat hook output priority -100; tcp dport 25 dnat to "
                 "192.0.2.9:2525; }; }")
        done = self.mxmirage.command("doctor")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith("warn     nat"))
        self.assertIn("table ip theirs, chain out", lines[at])
        self.assertIn("`tcp dport 25 dnat to 192.0.2.9:2525`", lines[at])
        self.assertRegex(lines[at + 1], r"^ +→ `nft delete rule ip theirs out handle \d+`")
        self.assertRegex(lines[-1], r"^\d+ ok, \d+ to look at, 0 failed, 0 unknown$")

    def test_foreign_dnat_and_its_remedy(self) -> None:
        """What the remedy says is done, and the finding is gone."""
        self.lab.run(HOST, "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "25", "-j", "DNAT",
                     "--to-destination", "192.0.2.9:2525")
        found = self.finding("nat", "warn", "table ip nat, chain OUTPUT.*DNAT to 192.0.2.9:2525")
        self.assertIn("divert at -199 comes before", found["found"])
        self.lab.run(HOST, "sh", "-c", re.match("`(nft delete rule [^`]+)`", found["remedy"])[1])
        self.finding("nat", "ok", "no foreign rule")

    def test_foreign_dnat_that_comes_first(self) -> None:
        self.nft("table inet theirs { chain out { type nat hook output priority -199; tcp dport { 25, 587 } "
                 "redirect to :2525; }; }")
        self.finding("nat", "fail", "chain out.*may come before the divert", code=FALSE)

    def test_dormant_table(self) -> None:
        self.nft("table inet asleep { flags dormant; chain out { type filter hook output priority 0; }; }")
        found = self.finding("tables", "warn", "table inet asleep is dormant")
        self.assertIn("`nft delete table inet asleep`", found["remedy"])

    def test_our_own_table_dormant_is_a_leak(self) -> None:
        self.nft("table inet mxmirage { flags dormant; }")
        self.finding("guard", "fail", "dormant", code=LEAK)

    def test_flowtable(self) -> None:
        rules = "table inet fast { flowtable f { hook ingress priority 0; devices = { wan, lan }; }; }"
        if self.lab.run(HOST, "nft", "-c", "-f", "-", stdin=rules, check=False).returncode != 0:
            self.skipTest("this kernel has no flowtables")
        self.nft(rules)
        self.finding("flowtables", "warn", "flowtable f in table inet fast")

    def test_device_with_a_tc_hook(self) -> None:
        self.finding("devices", "ok", "no device")
        self.lab.run(HOST, "tc", "qdisc", "add", "dev", "wan", "clsact")
        found = self.finding("devices", "warn", "device wan has a tc hook")
        self.assertIn("`tc filter show dev wan ingress`", found["remedy"])

    def test_manager_that_flushes(self) -> None:
        rules = self.lab.directory / "nftables.conf"
        rules.write_text("#!/usr/sbin/nft -f\n\nflush ruleset\n")
        argv = ["sh", "-c", WITH_FILE, "sh", str(rules), "/etc/nftables.conf", str(self.mxmirage.binary), "doctor",
                "--json", "-c", str(self.mxmirage.file)]
        found = json.loads(self.lab.run(HOST, *argv).stdout)["findings"]
        [flush] = [f for f in found if "flush ruleset" in f["found"]]
        self.assertEqual((flush["check"], flush["state"]), ("managers", "warn"))
        self.assertIn("by name", flush["remedy"])
        rules.write_text("# flush ruleset\ntable inet filter { }\n")
        found = json.loads(self.lab.run(HOST, *argv).stdout)["findings"]
        self.assertEqual([f for f in found if "flush ruleset" in f["found"]], [])

    def test_conntrack_too_small(self) -> None:
        self.finding("conntrack", "ok", "room for", "--connections", "1000")
        room = int(self.lab.run(HOST, "cat", "/proc/sys/net/netfilter/nf_conntrack_max").stdout)
        found = self.finding("conntrack", "warn", "room for", "--connections", str(room))
        self.assertRegex(found["remedy"], r"nf_conntrack_max=\d{6,}")

    def test_port_clash_names_the_process(self) -> None:
        other = self.lab.start(HOST, sys.executable, "-c", LISTEN.format(4027))
        wait_until(lambda: ":4027" in self.lab.run(HOST, "ss", "-Hltn").stdout, 10, "the other program to listen")
        found = self.finding("listeners", "fail", "port 4027", code=FALSE)
        self.assertRegex(found["found"], rf"python3?\S* \(process {other.pid}\)")
        self.assertIn("listen.ports", found["remedy"])

    def test_ephemeral_ports_over_the_listeners(self) -> None:
        self.lab.run(HOST, "sysctl", "-qw", "net.ipv4.ip_local_port_range=4000 63000")
        found = self.finding("ephemeral", "warn", "4025-4032 lie among the ephemeral ports 4000-63000")
        self.lab.run(HOST, "sh", "-c", re.match("`([^`]+)`", found["remedy"])[1])
        self.finding("ephemeral", "ok", "reserved among")

    def test_dead_name_server(self) -> None:
        self.lab.resolv_conf.write_text("nameserver 203.0.113.54\n")
        self.finding("dns", "fail", "203.0.113.54 does not answer", code=FALSE)

    def test_with_mxmirage_running(self) -> None:
        self.mxmirage.start()
        self.addCleanup(self.mxmirage.stop)
        self.finding("guard", "ok", "armed, and owned")
        self.finding("listeners", "ok", "4025-4032 are ours")
        self.finding("managers", "ok", "flush ruleset.*the guard's now")
        self.mxmirage.configure("192.0.2.0/24", mode="smart")
        self.finding("guard", "fail", "not as this configuration says", code=LEAK)

    def test_the_static_wall_alone(self) -> None:
        self.assertEqual(self.mxmirage.command("guard", "arm").returncode, 0)
        self.finding("guard", "warn", "static wall.*nobody owns it")
        self.finding("managers", "warn", "flush ruleset.*the guard's too")
        self.lab.run(HOST, "nft", "flush", "chain", "inet", "mxmirage_static", "guard_output")
        found = self.finding("guard", "fail", "not as this configuration says", code=LEAK)
        self.assertIn("mxmirage guard arm", found["remedy"])
        self.assertEqual(self.mxmirage.command("guard", "arm").returncode, 0)
        self.finding("guard", "warn", "static wall.*nobody owns it")

    def test_without_privilege(self) -> None:
        done = self.lab.run(HOST, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                            str(self.mxmirage.binary), "doctor", "-c", str(self.mxmirage.file), check=False)
        self.assertEqual(done.returncode, PRIVILEGE, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^unknown  nat .*needs CAP_NET_ADMIN\)\n +→ run it as root$")

    def test_it_changes_nothing(self) -> None:
        self.nft("table inet theirs { chain out { type filter hook output priority 0; tcp dport 25 counter; }; }")

        def picture() -> list[str]:
            return [self.lab.run(HOST, "nft", "-a", "list", "ruleset").stdout,
                    self.lab.run(HOST, "sysctl", "-a", "--pattern", "^net.ipv4|conntrack_(max|buck|tcp)").stdout]
        before = picture()
        self.findings()
        self.assertEqual(picture(), before)


class TuneTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = cls.enterClassContext(Lab())
        cls.mxmirage = Mxmirage(cls.lab)

    def tune(self, *argv: str, code: int = 0) -> str:
        done = self.mxmirage.command("tune", *argv)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_a_row_each_with_its_reason(self) -> None:
        lines = self.tune("--connections", "5000").splitlines()
        self.assertIn("5,000 connections", lines[0])
        row = next(line for line in lines if "somaxconn" in line)
        self.assertRegex(row, r"^(ok|short) +net.core.somaxconn +\d+ .*responder starts anew")

    def test_the_file_loads_and_what_it_asks_for_is_then_ok(self) -> None:
        self.lab.run(HOST, "sysctl", "-qw", "net.ipv4.ip_local_port_range=4000 20000",
                     "net.core.somaxconn=128", "net.ipv4.tcp_max_syn_backlog=64")
        file = self.lab.directory / "60-mxmirage.conf"
        self.assertIn(str(file), self.tune("--sysctl", str(file)))
        values = dict(line.split(" = ") for line in file.read_text().splitlines() if " = " in line)
        self.assertEqual(values["net.ipv4.ip_local_port_range"], "10000 65535")
        self.assertEqual(values["net.core.somaxconn"], "4096")
        self.assertNotIn("net.netfilter.nf_conntrack_max", values, "left out: it is enough")
        own = ("net.ipv4.ip_local_port_range", "net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog")
        for key in own:  # and no setting of the whole machine
            self.lab.run(HOST, "sysctl", "-qw", f"{key}={values[key]}")
        settings = {s["key"]: s["state"] for s in json.loads(self.tune("--json"))["settings"]}
        for key in own:
            self.assertEqual(settings[key], "ok", key)

    def test_every_value_has_its_reason_above_it(self) -> None:
        lines = self.tune("--sysctl", "--connections", "1000000").splitlines()
        values = [n for n, line in enumerate(lines) if " = " in line and not line.startswith("#")]
        self.assertGreater(len(values), 3)
        for n in values:
            self.assertTrue(lines[n - 1].startswith("# now: "), lines[n])
            self.assertTrue(lines[n - 2].startswith("# "), lines[n])

    def test_a_file_that_is_there_is_kept(self) -> None:
        file = self.lab.directory / "kept.conf"
        file.write_text("mine\n")
        self.assertIn("remove it first", self.tune("--sysctl", str(file), code=USAGE))
        self.assertEqual(file.read_text(), "mine\n")
        # A directory is not to be removed for it.
        said = self.tune("--sysctl", str(file.parent), code=USAGE)
        self.assertIn("name a file in it", said)
        self.assertNotIn("remove", said)
        self.assertIn("its directory is not there", self.tune("--sysctl", str(file.parent / "no" / "x"), code=70))

    def test_nonsense(self) -> None:
        for wrong in ("0", "-5", "many", "99999999999"):
            self.assertIn("--connections", self.tune("--connections", wrong, code=USAGE))


if __name__ == "__main__":
    unittest.main()
