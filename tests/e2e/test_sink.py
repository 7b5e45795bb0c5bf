"""A plain sink, `run --no-divert`: what systemd hands over is not the responder's."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

import scene  # noqa: F401 (the way to the lab's modules)
from mxmirage import default_binary

NETLINK_NETFILTER = 12

CONFIGURATION = """\
[listen]
ports = "4925"
workers = 1
[admin]
socket = "{0}/control.sock"
[counts]
file = "{0}/counts"
"""


class SinkTest(unittest.TestCase):
    def test_owner_socket_stays_with_the_warden(self) -> None:
        """The netlink socket that owns the rules is in the unit's hands, whatever the daemon is told to do."""
        with tempfile.TemporaryDirectory() as directory, \
                socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as owner:
            file = Path(directory, "mxmirage.toml")
            file.write_text(CONFIGURATION.format(directory))
            # In a network of its own; as descriptor 3, and in a process that has the ID that LISTEN_PID names.
            number = owner.fileno()
            start = (f"exec 3<&{number}; [ {number} = 3 ] || exec {number}<&-; export LISTEN_FDS=1 LISTEN_PID=$$; "
                     f"exec {default_binary()} run --no-divert -c {file}")
            with subprocess.Popen(["unshare", "-n", "bash", "-c", start], pass_fds=[number],
                                  stderr=subprocess.PIPE, text=True) as process:
                try:
                    for line in process.stderr:
                        if "mxmirage info: ready" in line:
                            break
                    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                    self.assertEqual(len(children), 1)
                    inode = os.fstat(owner.fileno()).st_ino
                    held = {os.readlink(fd) for fd in Path(f"/proc/{children[0]}/fd").iterdir()}
                    self.assertNotIn(f"socket:[{inode}]", held)
                finally:
                    process.terminate()


if __name__ == "__main__":
    unittest.main()
