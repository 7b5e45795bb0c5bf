"""The configuration: mistakes are named where they stand, and a reload is whole or not at all."""

from __future__ import annotations

import unittest

import scene
import zones
from lab import wait_until
from world import World

EX_CONFIG = 78

# What the file says, the line of the mistake, the key, a word of the remedy.
MISTAKES = (
    ('[divert]\nprots = [25]\n', 2, "prots", 'did you mean "ports"'),
    ('[divert]\n\n# the LAN\nexclude = ["192.0.2.0/33"]\n', 4, "exclude", "32"),
    ('[listen]\nports = "4032-4025"\n', 2, "ports", '"4025-4032"'),
    ('[answer]\nmode = "snik"\n', 2, "mode", '"sink"'),
    ('[listen\nports = "4025"\n', 1, "", ""),
)


class ConfigureTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World())

    def setUp(self) -> None:
        """Each test begins with the configuration that the daemon was started with."""
        self.world.mxmirage.configure()
        self.assertEqual(self.world.mxmirage.command("reload").returncode, 0)
        self.numbers = iter(range(100))

    def tearDown(self) -> None:
        self.assertEqual(self.world.oracle.seen(), {})

    def deliver(self, domain: str) -> str:
        """Sends one message, waits for it to be sent, and returns the address that it was sent to."""
        postfix = self.world.postfix
        mark = postfix.mark()
        postfix.inject([scene.message(next(self.numbers), f"someone@{domain}")])
        wait_until(lambda: postfix.log_since(mark).with_status("sent"), 60, f"mail to {domain} to be sent")
        return postfix.log_since(mark).with_status("sent")[0].address

    def counted(self, domain: str) -> int:
        return self.world.mxmirage.domains().get(domain, {"accepted": 0})["accepted"]

    def lan_count(self, server: str) -> int:
        return sum(m["server"] == server for m in self.world.lan_mail())

    def test_check_accepts_what_runs(self) -> None:
        done = self.world.mxmirage.check(self.world.mxmirage.file)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_check_names_line_and_remedy(self) -> None:
        bad = self.world.lab.directory / "bad.toml"
        for text, line, key, remedy in MISTAKES:
            with self.subTest(text):
                bad.write_text(text)
                done = self.world.mxmirage.check(bad)
                self.assertEqual(done.returncode, EX_CONFIG)
                self.assertIn(f"{bad}:{line}:", done.stderr)
                self.assertIn(key, done.stderr)
                self.assertIn(remedy, done.stderr)

    def test_run_refuses_a_bad_file(self) -> None:
        bad = self.world.lab.directory / "bad.toml"
        bad.write_text(MISTAKES[0][0])
        done = self.world.lab.run("host", self.world.mxmirage.binary, "run", "-c", bad, check=False, timeout=10)
        self.assertEqual(done.returncode, EX_CONFIG)
        self.assertIn(f"{bad}:{MISTAKES[0][1]}:", done.stderr)

    def test_bad_reload_keeps_the_old(self) -> None:
        mxmirage = self.world.mxmirage
        # Half of it is good and would open the way to the branch: it must not be taken over.
        mxmirage.configure(*zones.LAN_EXCLUDE, zones.BRANCH_EXCLUDE)
        good = mxmirage.file.read_text()
        mxmirage.file.write_text(good + "[divert.more]\nprots = [25]\n")
        responder, kept, branch = mxmirage.responder(), self.lan_count(zones.BRANCH_ADDRESS), \
            self.counted(zones.BRANCH_DOMAIN)
        done = mxmirage.command("reload")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"{mxmirage.file}:", done.stderr)
        self.assertRegex(done.stderr, r"(?i)\b(old|kept|keeps|still|remains|unchanged)\b")
        self.assertEqual(mxmirage.responder(), responder)
        self.assertEqual(self.deliver(zones.BRANCH_DOMAIN), zones.BRANCH_ADDRESS)
        self.assertEqual(self.counted(zones.BRANCH_DOMAIN), branch + 1, "not diverted any more")
        self.assertEqual(self.lan_count(zones.BRANCH_ADDRESS), kept)
        gmail = self.counted("gmail.com")
        self.deliver("gmail.com")
        self.assertEqual(self.counted("gmail.com"), gmail + 1)

    def test_status_names_every_port_that_is_shut(self) -> None:
        mxmirage = self.world.mxmirage
        self.assertIn("to open port 25 ", mxmirage.command("status").stdout)
        mxmirage.file.write_text(mxmirage.file.read_text().replace("[divert]\n", "[divert]\nports = [25, 587]\n"))
        self.assertEqual(mxmirage.command("reload").returncode, 0)
        self.assertIn("to open ports 25, 587 ", mxmirage.command("status").stdout)
        self.assertEqual(mxmirage.status()["guard"]["ports"], [25, 587])

    def test_reload_tells_what_was_left_out(self) -> None:
        """Who reloads need not look into the log for it."""
        mxmirage = self.world.mxmirage
        responses = mxmirage.directory / "r.toml"
        for text, said in (("[defalt]\nbounce = 1\n", r'r\.toml:1: .*"defalt" .*did you mean "default"'),
                           ("[a]\nx = 1\n[b]\nx = 1\n[c]\nx = 1\n", r"r\.toml:1: (?s:.*)and 2 more")):
            responses.write_text(text)
            mxmirage.configure(mode="smart", more='responses = "r.toml"\n')
            done = mxmirage.command("reload")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, said)

    def test_good_reload_takes_over_an_exclusion(self) -> None:
        mxmirage = self.world.mxmirage
        kept, branch = self.lan_count(zones.BRANCH_ADDRESS), self.counted(zones.BRANCH_DOMAIN)
        self.deliver(zones.BRANCH_DOMAIN)
        self.assertEqual((self.lan_count(zones.BRANCH_ADDRESS), self.counted(zones.BRANCH_DOMAIN)),
                         (kept, branch + 1), "before")
        diverted = mxmirage.status()["firewall"]["diverted"]["packets"]
        mxmirage.configure(*zones.LAN_EXCLUDE, zones.BRANCH_EXCLUDE)
        done = mxmirage.command("reload")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(mxmirage.status()["firewall"]["diverted"]["packets"], diverted,
                                "the kernel's counters do not start anew")
        self.deliver(zones.BRANCH_DOMAIN)
        self.assertEqual((self.lan_count(zones.BRANCH_ADDRESS), self.counted(zones.BRANCH_DOMAIN)),
                         (kept + 1, branch + 1), "after")
        gmail = self.counted("gmail.com")
        self.deliver("gmail.com")
        self.assertEqual(self.counted("gmail.com"), gmail + 1)


if __name__ == "__main__":
    unittest.main()
