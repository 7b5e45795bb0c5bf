"""What the command line says of itself, and of what it cannot take. No daemon, no network."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import scene  # noqa: F401 (finds the lab)
from mxmirage import default_binary

USAGE, UNREACHABLE, CONFIGURATION = 2, 69, 78


class UsageTest(unittest.TestCase):
    def run_verb(self, *argv: str) -> subprocess.CompletedProcess:
        return subprocess.run([str(default_binary()), *argv], capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL, check=False)

    def refused(self, code: int, pattern: str, *argv: str) -> None:
        with self.subTest(argv):
            done = self.run_verb(*argv)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertRegex(done.stderr, pattern)
            self.assertEqual(done.stdout, "")

    def test_every_verb_helps(self) -> None:
        listed = self.run_verb("--help")
        self.assertEqual((listed.returncode, listed.stderr), (0, ""))
        verbs = re.findall(r"(?m)^  ([a-z]+)\b", listed.stdout)
        self.assertIn("run", verbs)
        for verb in verbs:
            with self.subTest(verb):
                done = self.run_verb(verb, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertRegex(done.stdout, rf"\Ausage: mxmirage {verb}\b")
                self.assertEqual(self.run_verb("help", verb).stdout, done.stdout)

    def test_what_is_wrong_is_named(self) -> None:
        self.refused(USAGE, 'unknown verb "statsu" .did you mean "status"', "statsu")
        self.refused(USAGE, 'unknown verb "responder"', "help", "responder")
        self.refused(USAGE, 'unknown verb "-c"; .* options stand behind the verb', "-c", "/dev/null", "status")
        self.refused(USAGE, "mxmirage status: unrecognized option '--jsn'", "status", "--jsn")
        self.refused(USAGE, 'mxmirage status: "more" is one argument too many', "status", "more")
        self.refused(USAGE, "mxmirage explain: USER@DOMAIN is missing", "explain")

    def test_what_is_not_written_is_no_success(self) -> None:
        for verb in ("check", "replies", "tune"):
            with self.subTest(verb), open("/dev/full", "w") as full:
                done = subprocess.run([str(default_binary()), verb], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=30, check=False)
                self.assertEqual(done.returncode, 70)
                self.assertIn("No space left on device", done.stderr)

    def test_no_option_is_taken_in_silence(self) -> None:
        """-n and -c are options of some verbs, not of all."""
        self.refused(USAGE, "invalid option -- 'n'", "status", "-n", "3")
        self.refused(USAGE, "no such option", "gen", "-c", "file")

    def test_a_missing_file_is_not_the_default(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mxm-usage-")))
        missing = str(directory / "none.toml")
        for verb in ("status", "reload", "check", "replies"):
            self.refused(CONFIGURATION, f"{re.escape(missing)}: No such file", verb, "-c", missing)
        self.refused(UNREACHABLE, "no daemon answers at", "sources", "--socket", str(directory / "none.sock"))

    def test_coverage_tells_an_old_wording(self) -> None:
        """A pattern that only what the provider said earlier sets off is of no use any more."""
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mxm-usage-")))
        file = directory / "shaping.toml"
        rule = '[["gmail.com".automation]]\nregex = "{} has detected an unusual rate"\n'
        file.write_text(rule.format("Gmail"))
        self.assertNotIn("(old)", self.run_verb("coverage", str(file)).stdout)
        file.write_text(rule.format("Our system"))
        shown = self.run_verb("coverage", str(file)).stdout
        self.assertRegex(shown, r"google +\(old\) 421 4\.7\.28")
        self.assertRegex(shown, r"(?m)^\(old\): .*answer\.wording")

    def test_check_names_the_profiles_that_it_does_not_print(self) -> None:
        file = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mxm-usage-"))) / "mxmirage.toml"
        file.write_text('[answer]\nseed = 2\n[provider."google"]\ndefer = 33\n')
        done = self.run_verb("check", str(file))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(f'[provider."google"] at {file}:3', done.stdout)
        # What is printed is a configuration, and says the same once more.
        file.write_text(done.stdout)
        self.assertEqual(self.run_verb("check", str(file)).stdout, done.stdout.split("\n# Taken as well")[0])

    def test_replies_are_as_configured(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mxm-usage-")))
        file = directory / "mxmirage.toml"
        file.write_text('[provider."google"]\ndefer = 33\n'
                        '[provider."mine"]\ndomains = ["mine.example"]\ndefer = 2\n'
                        '[[provider."mine".reply]]\nkind = "defer"\ncode = 450\ntext = "Mine alone"\n')
        self.assertRegex(self.run_verb("replies", "-c", str(file), "mine.example").stdout, "450 .* Mine alone")
        self.assertRegex(self.run_verb("replies", "-c", str(file), "google").stdout, r"\Agoogle .* defer 33 %")
        self.assertRegex(self.run_verb("replies", "-c", "/dev/null", "google").stdout, r"\Agoogle .* defer 5 %")
        self.refused(USAGE, 'unknown provider "mine"', "replies", "-c", "/dev/null", "mine")

    def test_a_file_that_the_configuration_names(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mxm-usage-")))
        file = directory / "mxmirage.toml"
        for key in ("responses", "providers"):
            file.write_text(f'[answer]\n{key} = "none.toml"\n')
            self.refused(CONFIGURATION, rf"answer\.{key} names \S+/none\.toml: No such file", "check", str(file))

    @unittest.skipIf(os.geteuid(), "who is not root runs the responder as himself")
    def test_a_user_that_does_not_exist(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mxm-usage-")))
        file = directory / "mxmirage.toml"
        file.write_text('[responder]\nuser = "nobody-of-that-name"\n')
        self.refused(CONFIGURATION, "responder.user: there is no user nobody-of-that-name: .*adduser",
                     "check", "-c", str(file))


if __name__ == "__main__":
    unittest.main()
