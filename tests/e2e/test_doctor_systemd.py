"""doctor asks systemd, where there is one, which firewall managers run: a container with systemd as its first
process, made of this machine's /usr, with its own network and nothing else of this machine's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from machine import ControlGroups  # noqa: E402 (found by the line above)
from mxmirage import default_binary  # noqa: E402

# What is done to nftables.service, which runs from the start, and what doctor then says.
STATES = {
    "stop": "warn     managers    nftables.service is enabled: .* flush the whole ruleset",
    "disable": "ok       managers    nftables.service is installed, neither enabled",
    "start": "warn     managers    nftables.service is active: .* flush the whole ruleset",
}
UNIT = """\
[Unit]
Description=doctor, after each change
[Service]
Type=oneshot
TimeoutStartSec=60
ExecStart=/bin/sh -c 'for verb in {verbs}; do systemctl $verb nftables; /opt/mxmirage doctor >/opt/out/$verb; done'
ExecStopPost=/bin/systemctl poweroff --force
"""


class SystemdTest(unittest.TestCase):
    def test_what_runs_is_known(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mxm-systemd-")))
        out = directory / "out"
        out.mkdir()
        (directory / "nftables.conf").write_text("table inet theirs { }\n")
        (directory / "doctor.service").write_text(UNIT.format(verbs=" ".join(STATES)))
        groups = ControlGroups(f"mxm-doctor-{os.getpid()}")
        self.addCleanup(groups.remove)
        done = subprocess.run(groups.command(
            "systemd-nspawn", "-D", "/", "--volatile=yes", "--boot", "--private-network", "--register=no",
             "--keep-unit", "--link-journal=no", "--console=pipe", f"--machine=mxm-doctor-{os.getpid()}",
             f"--bind-ro={directory}/doctor.service:/etc/systemd/system/doctor.service",
             f"--bind-ro={directory}/nftables.conf:/etc/nftables.conf",
             f"--bind-ro={default_binary()}:/opt/mxmirage", f"--bind={out}:/opt/out",
             "systemd.unit=doctor.service"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        for verb, pattern in STATES.items():
            with self.subTest(verb):
                said = (out / verb).read_text() if (out / verb).exists() else done.stdout + done.stderr
                self.assertRegex(said, re.compile(f"^{pattern}", re.MULTILINE))
                self.assertEqual(len(re.findall(r"(?m)^\w+ +managers ", said)), 1, said)


if __name__ == "__main__":
    unittest.main()
