"""The package on a Debian host with systemd: what it does when it is installed, armed, killed, stopped and flushed, and
what its processes may do. The leak campaign has the long form of it (tests/leak/stage_nspawn.py)."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import scene  # noqa: F401 (finds the lab's modules)
from knocks import Knocks
from lab import HOST, Lab, wait_until
from machine import Machine
from machine_root import build_directory
from oracle import Oracle
from scene import AHEAD, AHEAD_BY_NICE, precedence

SERVICE, GUARD, SOCKET = "mxmirage.service", "mxmirage-guard.service", "mxmirage-guard.socket"
CAP_NET_ADMIN = 1 << 12
EXPOSURE_MAX = 2.0
KNOCKS_PER_SECOND = 1000


class SystemdTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        if "sanitize" in build_directory().name:
            raise unittest.SkipTest("the package is made of the plain build")
        cls.lab = cls.enterClassContext(Lab())
        cls.oracle = Oracle(cls.lab)
        cls.oracle.canary()
        cls.machine = Machine(cls.lab)
        cls.machine.install()
        cls.machine.boot()
        cls.addClassCleanup(cls.machine.close)

    def setUp(self) -> None:
        """Each begins as the package was installed: nothing runs and nothing is armed."""
        self.addCleanup(self.machine.run, "mxmirage", "guard", "disarm")
        self.addCleanup(self.machine.systemctl, "disable", SERVICE)
        self.oracle.reset()

    def start(self) -> None:
        self.machine.systemctl("enable", "--now", SERVICE)

    @contextmanager
    def knock(self) -> Iterator[None]:
        """A prober across what happens in the block; nothing may arrive."""
        with Knocks(self.lab, KNOCKS_PER_SECOND) as knocks:
            yield
        self.assertGreater(knocks.said["started"], KNOCKS_PER_SECOND / 2 * knocks.said["seconds"])
        self.assertEqual(self.oracle.seen(), {})

    def guard_status(self) -> dict:
        done = self.machine.run("mxmirage", "guard", "status", "--json", check=False)
        return json.loads(done.stdout) | {"exit": done.returncode}

    def test_installed_is_not_armed(self) -> None:
        self.assertEqual(self.machine.run("nft", "list", "tables").stdout, "")
        self.assertEqual(self.guard_status()["exit"], 3)
        for unit in (SERVICE, GUARD, SOCKET):
            self.assertEqual(self.machine.show(unit, "ActiveState"), "inactive", unit)
        for unit in (SERVICE, GUARD):
            self.assertEqual(self.machine.show(unit, "UnitFileState"), "disabled", unit)

    def test_what_the_readme_refers_to_is_installed(self) -> None:
        readme = Path("/usr/share/doc/mxmirage/README.md")
        links = re.findall(r"\]\(([^):#]+)\)", self.machine.run("cat", str(readme)).stdout)
        self.assertGreater(len(links), 2)
        for link in links:
            self.machine.run("test", "-s", str(readme.parent / link))

    def test_kill_stop_and_flush(self) -> None:
        self.start()
        with self.knock():
            for _ in range(2):
                warden = self.machine.pid(SERVICE)
                os.kill(warden, signal.SIGKILL)
                self.machine.run("nft", "flush", "ruleset")
                wait_until(lambda: self.machine.pid(SERVICE) not in (0, warden), 60, "another warden")
                wait_until(lambda: self.machine.show(SERVICE, "ActiveState") == "active", 60, "the service")
            self.machine.systemctl("stop", SERVICE)
            self.machine.run("nft", "flush", "ruleset")
            self.machine.run("nft", "delete", "table", "inet", "mxmirage", check=False)
            time.sleep(0.5)
        self.assertTrue(self.guard_status()["owner"], "nobody owns the rules any more")

    def test_foreign_tools_are_refused(self) -> None:
        self.start()
        for command in ("delete table inet mxmirage", "flush table inet mxmirage", "delete table netdev mxmirage",
                        "add rule inet mxmirage guard_output accept"):
            done = self.machine.run("nft", *command.split(), check=False)
            self.assertIn("Operation not permitted", done.stderr, command)

    def test_proven_with_no_process(self) -> None:
        self.start()
        self.machine.systemctl("stop", SERVICE)
        done = self.machine.run("mxmirage", "prove", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.oracle.seen(), {})

    def test_arm_and_disarm_by_hand(self) -> None:
        armed = self.machine.run("mxmirage", "guard", "arm").stdout
        self.assertIn("at each boot", armed)
        self.assertEqual(self.machine.show(GUARD, "UnitFileState"), "enabled")
        with self.knock():
            self.machine.run("nft", "flush", "ruleset")
            time.sleep(0.2)
        self.machine.run("mxmirage", "guard", "disarm")
        self.assertEqual(self.machine.run("nft", "list", "tables").stdout, "")
        self.assertEqual(self.machine.show(SOCKET, "ActiveState"), "inactive")
        self.assertEqual(self.machine.show(GUARD, "UnitFileState"), "disabled")
        with self.assertRaises(AssertionError, msg="disarmed, and still nothing arrives"), self.knock():
            time.sleep(0.3)

    def test_armed_again_holds_what_the_file_says_now(self) -> None:
        file = "/etc/mxmirage/mxmirage.toml"
        self.addCleanup(self.machine.run, "sh", "-c", f"echo >{file}")
        self.machine.run("sh", "-c", f"printf '[divert]\\nexclude = [\"203.0.113.0/24\"]\\n' >{file}; mxmirage guard arm")
        self.assertIn("203.0.113.0/24", self.machine.run("nft", "list", "set", "inet", "mxmirage", "exclude4").stdout)
        self.machine.run("sh", "-c", f"echo >{file}; mxmirage guard arm")
        with self.knock():
            time.sleep(0.3)
        self.assertNotIn("elements", self.machine.run("nft", "list", "set", "inet", "mxmirage", "exclude4").stdout)
        # Where the daemon runs it is asked by `mxmirage reload`, and not gone over.
        self.start()
        self.machine.run("mxmirage", "guard", "arm")
        time.sleep(3)
        self.assertNotIn("guard-changed", self.machine.journal(SERVICE))

    def test_owner_is_restarted(self) -> None:
        """Where the kernel takes the rules away with their owner: without them, something must stand."""
        self.start()
        with self.knock():
            self.machine.systemctl("stop", SOCKET)
            self.machine.run("nft", "delete table inet mxmirage; delete table netdev mxmirage; "
                             "delete table bridge mxmirage")
            time.sleep(0.3)
            self.machine.systemctl("restart", SOCKET, GUARD, SERVICE)
        self.assertTrue(self.guard_status()["owner"])
        self.machine.run("mxmirage", "guard", "disarm")
        self.assertEqual(self.machine.run("nft", "list", "tables").stdout, "")

    def test_disarm_says_what_the_next_boot_does(self) -> None:
        self.start()
        self.assertIn("systemctl disable mxmirage", self.machine.run("mxmirage", "guard", "disarm").stdout)

    def test_broken_configuration_opens_nothing(self) -> None:
        self.addCleanup(self.machine.run, "sh", "-c", "echo >/etc/mxmirage/mxmirage.toml")
        self.machine.run("sh", "-c", "echo '[divrt]' >/etc/mxmirage/mxmirage.toml")
        by_hand = self.machine.run("mxmirage", "guard", "arm", check=False)
        self.assertEqual(by_hand.returncode, 78)
        self.assertIn("mxmirage.toml:1", by_hand.stderr)
        self.machine.systemctl("start", GUARD)
        with self.knock():
            time.sleep(0.3)
        self.assertIn("armed with the defaults", self.machine.journal(GUARD))

    def test_check_as_root_sees_what_the_service_cannot_read(self) -> None:
        file, profiles = "/etc/mxmirage/mxmirage.toml", "/etc/mxmirage/p.toml"
        self.addCleanup(self.machine.run, "sh", "-c", f"echo >{file}; rm {profiles}")
        self.machine.run("sh", "-c", f"printf '[answer]\nproviders = \"p.toml\"\n' >{file}; umask 077; echo >{profiles}")
        self.assertIn(f"{profiles}: not readable for the user mxmirage", self.machine.run("mxmirage", "check").stderr)
        self.assertIn("Permission denied", self.machine.run("sh", "-c", "systemctl start mxmirage; journalctl -u mxmirage",
                                                           check=False).stdout)
        self.machine.run("chmod", "o+r", profiles)
        self.assertEqual(self.machine.run("mxmirage", "check").stderr, "")
        self.start()

    def test_says_who_blocks_and_how_to_open(self) -> None:
        self.start()
        self.machine.systemctl("stop", SERVICE)
        status = self.machine.run("mxmirage", "status", check=False)
        self.assertEqual(status.returncode, 69)
        for where, text in (("journal", self.machine.journal(SERVICE)), ("status", status.stderr)):
            self.assertIn("mxmirage blocks port 25 on this host; `mxmirage guard disarm` opens it", text, where)

    def test_hung_daemon_is_ended_by_the_watchdog(self) -> None:
        self.machine.run("sh", "-c", f"mkdir -p /run/systemd/system/{SERVICE}.d && "
                         f"printf '[Service]\\nWatchdogSec=2s\\n' >/run/systemd/system/{SERVICE}.d/soon.conf")
        self.machine.systemctl("daemon-reload")
        self.addCleanup(self.machine.run, "rm", f"/run/systemd/system/{SERVICE}.d/soon.conf")
        self.start()
        time.sleep(3)
        self.assertEqual(self.machine.show(SERVICE, "NRestarts"), "0", "it beats too rarely")
        with self.knock():
            warden = self.machine.pid(SERVICE)
            os.kill(warden, signal.SIGSTOP)
            wait_until(lambda: self.machine.pid(SERVICE) not in (0, warden), 60, "another warden")

    def test_hung_responder_is_replaced(self) -> None:
        """By its warden, which goes on: the rules and the listeners stay as they are."""
        self.start()
        warden, responder = self.machine.pid(SERVICE), self.machine.responder()
        time.sleep(3)  # until it has answered once
        os.kill(responder, signal.SIGSTOP)
        wait_until(lambda: self.machine.responder() not in (0, responder), 60, "another responder")
        self.assertEqual(self.machine.pid(SERVICE), warden)
        self.assertIn("it does not answer", self.machine.journal(SERVICE))

    def test_privileges(self) -> None:
        self.start()
        responder, warden = self.machine.responder(), self.machine.pid(SERVICE)
        for pid, name, allowed in ((responder, "responder", 0), (warden, "warden", CAP_NET_ADMIN)):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            status = dict(line.split(":\t") for line in lines if ":\t" in line)
            self.assertNotIn("0", status["Uid"].split(), name)
            self.assertEqual(status["NoNewPrivs"], "1", name)
            for of in ("CapEff", "CapPrm"):
                self.assertEqual(int(status[of], 16), allowed, f"{name}: {of}")
            for of in ("CapInh", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[of], 16), 0, f"{name}: {of}")
            self.assertEqual(status["Seccomp"], "2", name)
        # The warden runs ahead of what loads the host, and the responder does not. Real time is a matter of the
        # kernel and the control group.
        in_real_time = self.machine.run("systemd-run", "--wait", "--quiet", "chrt", "-r", "1", "true", check=False)
        self.assertEqual(precedence(warden), (AHEAD[0], AHEAD_BY_NICE[1]) if in_real_time.returncode == 0 else AHEAD_BY_NICE)
        self.assertEqual(precedence(responder), (os.SCHED_OTHER, 0))

    def test_removed_leaves_the_static_wall(self) -> None:
        """The one that stands for itself: of another file than the unit's."""
        self.machine.run("sh", "-c", "echo >/root/other.toml; mxmirage guard arm -c /root/other.toml")
        self.assertEqual(self.machine.show(SOCKET, "ActiveState"), "inactive")
        said = self.guard_status()
        self.assertEqual((said["blocked"], said["armed"], said["static"], said["exit"]), (True, False, True, 0))
        with self.knock():
            said = self.machine.run("dpkg", "--remove", "mxmirage").stderr
            time.sleep(0.3)
        opens = re.findall(r"^ {4}(.+)$", said, re.MULTILINE)
        self.machine.run("sh", "-c", "\n".join(opens), check=False)
        self.assertEqual(self.machine.run("nft", "list", "tables").stdout, "", "what the removal says does not open")
        # The removal has disabled it: nobody is to believe that it is back.
        self.assertIn("does nothing yet", self.machine.install())
        self.start()
        said = self.machine.install()
        self.assertNotIn("systemctl enable", said, "an upgrade of what runs")

    def test_shutdown_and_boot(self) -> None:
        self.start()
        with self.knock():
            self.machine.shut_down()
        # As it is where the kernel takes the owned rules away with systemd's socket.
        rules = self.lab.run(HOST, "nft", "list", "tables").stdout
        for table in ("inet mxmirage_static", "netdev mxmirage_static", "bridge mxmirage_static"):
            self.assertIn(table, rules, "nothing would stand to the end of a shutdown before Linux 6.9")
        self.machine.forget_rules()
        self.machine.boot()
        self.assertTrue(self.guard_status()["owner"])
        with self.knock():
            self.machine.run("nft", "flush", "ruleset")
            time.sleep(0.3)

    def test_sandbox(self) -> None:
        said = self.machine.run("systemd-analyze", "security", "--no-pager", SERVICE, check=False).stdout
        exposure = re.search(r"Overall exposure level for mxmirage.service: ([\d.]+)", said)
        self.assertIsNotNone(exposure, said)
        self.assertLessEqual(float(exposure[1]), EXPOSURE_MAX)

    def test_removed_opens_as_it_says(self) -> None:
        """Also the static wall that somebody raised beside it."""
        self.start()
        self.machine.run("mxmirage", "guard", "arm", "--static")
        said = self.machine.run("dpkg", "--remove", "mxmirage").stderr
        self.machine.run("sh", "-c", "\n".join(re.findall(r"^ {4}(.+)$", said, re.MULTILINE)), check=False)
        self.assertEqual(self.machine.run("nft", "list", "tables").stdout, "", "what the removal says does not open")
        self.machine.install()

    def test_removed_stays_shut(self) -> None:
        self.start()
        with self.knock():
            said = self.machine.run("dpkg", "--remove", "mxmirage").stderr
            self.machine.systemctl("daemon-reload")
            self.machine.run("nft", "flush", "ruleset")
            time.sleep(0.3)
        self.assertIn("systemctl stop mxmirage-guard.socket", said)
        self.assertIn("port 25 is shut from before", self.machine.install())
        self.assertTrue(self.guard_status()["owner"], "nobody owns the rules any more")


if __name__ == "__main__":
    unittest.main()
