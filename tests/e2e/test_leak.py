"""The quick part of the leak campaign: every scenario of the namespace stage once. `./dev leak` is the whole."""

from __future__ import annotations

import json
import subprocess
import sys
import unittest
from pathlib import Path

LEAK = Path(__file__).resolve().parents[1] / "leak" / "leak.py"
RUNS = 1
SECONDS_MAX = 900


class LeakTest(unittest.TestCase):
    def test_nothing_arrives(self) -> None:
        done = subprocess.run([sys.executable, LEAK, "netns", "--runs", str(RUNS), "--json"], text=True,
                              capture_output=True, check=False, timeout=SECONDS_MAX)
        self.assertTrue(done.stdout, done.stderr)
        campaign = json.loads(done.stdout)
        said = f"seed {campaign['seed']}:\n{done.stderr}"
        for row in campaign["scenarios"]:
            with self.subTest(scenario=row["number"], name=row["name"]):
                self.assertEqual(row["arrived"], 0, said)
                self.assertEqual(row["void"], 0, said)
                self.assertEqual((row["canary"], row["inverse"], row["as_said"]), (row["results"],) * 3, said)
                self.assertEqual(row["results"], RUNS, said)
                self.assertGreater(row["sent"], 0, said)
        self.assertEqual(done.returncode, 0, said)


if __name__ == "__main__":
    unittest.main()
