"""The bench's load generator must notice a sink that refuses: else refusing would look fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from lab import HOST, Lab, wait_until  # noqa: E402 (found by the line above)
from mxmirage import ROOT  # noqa: E402

LOAD = Path(os.environ.get("MXMIRAGE_BUILD", ROOT / "build")) / "tests" / "bench" / "bench-load"
PORT = 2525
MESSAGES = 500
DIALOGUES = {
    "one at a time": [],
    "pipelined": ["--pipelined"],
    "one message a connection": ["--per-connection", "1"],
    "pipelined, three messages a connection": ["--pipelined", "--per-connection", "3"],
    "beside idle connections": ["--idle", "50"],
}


class LoadTest(unittest.TestCase):
    def setUp(self) -> None:
        self.lab = self.enterContext(Lab())

    def start_sink(self, *options: str) -> None:
        self.lab.start(HOST, "/usr/sbin/smtp-sink", "-u", "nobody", *options, f"127.0.0.1:{PORT}", "100",
                       stderr=subprocess.DEVNULL)
        wait_until(lambda: f":{PORT}" in self.lab.run(HOST, "ss", "-Hltn").stdout, 10, "smtp-sink")

    def load(self, *options: str) -> tuple[subprocess.CompletedProcess, dict]:
        done = self.lab.run(HOST, LOAD, "--size", "2000", "--seconds", "20", "--warm-up", "0", "--messages",
                            MESSAGES, *options, "127.0.0.1", PORT, check=False)
        return done, json.loads(done.stdout)

    def test_every_dialogue_is_accepted(self) -> None:
        self.start_sink()
        for name, options in DIALOGUES.items():
            with self.subTest(name):
                done, result = self.load(*options)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertGreaterEqual(result["messages"], MESSAGES)
                self.assertEqual(set(result["replies"]) - {"221"}, {"220", "250", "354"})

    def test_a_refusal_is_an_error(self) -> None:
        self.start_sink("-r", "RCPT")
        done, result = self.load()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(result["messages"], 0)
        self.assertGreater(result["errors"], 0)
        self.assertIn("450", result["replies"])

    def test_a_refused_text_is_an_error(self) -> None:
        self.start_sink("-f", ".")
        done, result = self.load("--pipelined")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(result["messages"], 0)

    def test_a_dropped_connection_is_an_error(self) -> None:
        self.start_sink("-q", "DATA")
        done, result = self.load()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(result["messages"], 0)


if __name__ == "__main__":
    unittest.main()
