"""What `./dev run` shows."""

from __future__ import annotations

import re
import subprocess
import sys
import unittest
from pathlib import Path

import scene  # noqa: F401 (finds the lab)
from mxmirage import default_binary

DEMO = Path(__file__).resolve().parents[1] / "lab" / "demo.py"


class DemoTest(unittest.TestCase):
    def test_once(self) -> None:
        done = subprocess.run([sys.executable, str(DEMO), str(default_binary()), "--once"],
                              capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn("packets for port 25 that left the host: 0\n", done.stdout)
        sent, deferred, bounced = map(int, re.search(
            r"(\d+) sent, (\d+) deferred, (\d+) bounced", done.stdout).groups())
        self.assertEqual(sent + deferred + bounced, 400)
        self.assertTrue(min(sent, deferred, bounced), "each outcome is shown")
        domains = done.stdout.partition("mxmirage domains")[2].partition("mxmirage destinations")[0]
        for name in ("gmail.com", "hotmail.com", "yahoo.com", "laposte.net"):
            self.assertIn(name, domains)
        providers = done.stdout.partition("mxmirage providers")[2].partition("mxmirage domains")[0]
        for name in ("google", "outlook", "office365", "yahoo", "apple"):
            self.assertIn(name, providers)
        explained = done.stdout.partition("mxmirage explain")[2]
        self.assertIn("google: every MX host has .google.com", explained)


if __name__ == "__main__":
    unittest.main()
