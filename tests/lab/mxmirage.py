"""The program under test in the lab's host: started, asked, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import zones
from lab import HOST, Lab, LabError, wait_until

ROOT = Path(__file__).resolve().parents[2]

CONFIGURATION = """\
[divert]
exclude = {exclude}

[listen]
ports = "4025-4032"
workers = {workers}
processes = {processes}

[admin]
socket = "{socket}"

[counts]
file = "{directory}/counts"

[answer]
mode = "{mode}"
{more}"""

_SANITIZER_SIGNS = ("Sanitizer", "runtime error:")


def default_binary() -> Path:
    return Path(os.environ.get("MXMIRAGE", ROOT / "build" / "mxmirage")).resolve()


class Mxmirage:
    def __init__(self, lab: Lab, binary: Path | None = None, mode: str = "sink", more: str = "",
                 processes: int = 1) -> None:
        self._lab = lab
        self.binary = binary or default_binary()
        if not os.access(self.binary, os.X_OK):
            raise LabError(f"{self.binary}: no such program; build it, or set MXMIRAGE to its path")
        self.directory = lab.directory / "mxmirage"
        self.directory.mkdir()
        self.file = self.directory / "mxmirage.toml"
        self.socket = self.directory / "control.sock"
        self.log_file = self.directory / "log"
        self.process: subprocess.Popen | None = None
        self._processes = processes
        self.configure(mode=mode, more=more)

    def configure(self, *exclude: str, mode: str = "sink", more: str = "") -> None:
        """Writes the configuration: these destinations are left alone, by default the LAN. `more` is TOML that
        goes on in [answer], further tables included."""
        self.file.write_text(CONFIGURATION.format(
            directory=self.directory, socket=self.socket, mode=mode, more=more,
            workers=max(2, self._processes), processes=self._processes,
            exclude=json.dumps(exclude or zones.LAN_EXCLUDE)))

    def start(self, seconds: float = 60) -> None:
        """Returns once the daemon has announced that it is ready."""
        path = self.directory / "notify.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(0.2)
            self.process = self._lab.start(
                HOST, self.binary, "run", "-c", self.file, log=self.log_file, cwd=self.directory,
                env=os.environ | {"NOTIFY_SOCKET": str(path)})
            deadline = time.monotonic() + seconds
            while not _announced(notify):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"{self.binary} run did not get ready (exit status "
                                   f"{self.process.poll()}):\n{self.log_file.read_text()}")

    def command(self, *argv: str, timeout: float = 30) -> subprocess.CompletedProcess:
        """Runs a verb with our configuration file; the exit status is the caller's to judge."""
        return self._lab.run(HOST, self.binary, *argv, "-c", self.file, check=False, timeout=timeout)

    def check(self, file: Path) -> subprocess.CompletedProcess:
        return self._lab.run(HOST, self.binary, "check", file, check=False)

    def json(self, *argv: str) -> dict:
        """What a verb answers with --json. LabError when it does not end well."""
        # By the socket's name: what the file holds at the moment is a test's business.
        done = self._lab.run(HOST, self.binary, argv[0], "--json", "--socket", self.socket, *argv[1:], check=False)
        if done.returncode != 0:
            raise LabError(f"mxmirage {' '.join(argv)} --json: exit {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def status(self) -> dict:
        return self.json("status")

    def domains(self) -> dict[str, dict]:
        """Rows by recipient domain; "other" for those that had no room."""
        return self._rows("domains", "domain")

    def providers(self) -> dict[str, dict]:
        return self._rows("providers", "provider")

    def destinations(self) -> dict[str, dict]:
        return self._rows("destinations", "address")

    def sources(self) -> dict[str, dict]:
        return self._rows("sources", "address")

    def _rows(self, verb: str, key: str) -> dict[str, dict]:
        answer = self.json(verb)
        return {row[key]: row for row in answer[verb]} | {"other": answer["other"]}

    def wait_idle(self, seconds: float = 60) -> None:
        """Until no connection is open, so that counts stand still."""
        wait_until(lambda: self.status()["connections"]["open"] == 0, seconds, "no open connections")

    @property
    def warden(self) -> int:
        return self.process.pid

    def responder(self) -> int | None:
        """The warden's only child; None while there is none."""
        children = Path(f"/proc/{self.warden}/task/{self.warden}/children")
        try:
            pids = [int(pid) for pid in children.read_text().split()]
        except FileNotFoundError:
            return None
        if len(pids) > 1:
            raise LabError(f"the warden has more than one child: {pids}")
        return pids[0] if pids else None

    def siblings(self) -> list[int]:
        """The responder's further processes."""
        responder = self.responder()
        return [int(pid) for pid in Path(f"/proc/{responder}/task/{responder}/children").read_text().split()]

    def pile_up(self, seconds: float, thaw_seconds: float) -> None:
        """Stops the responder for a while, then lets it run for a moment: a crowd of sessions has begun
        and none is done. Without this a kill hardly ever finds one open, so short are they."""
        responder = self.responder()
        os.kill(responder, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(responder, signal.SIGCONT)
        time.sleep(thaw_seconds)

    def kill_responder(self) -> None:
        """SIGKILL; returns when another responder stands in its place."""
        killed = self.responder()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: self.responder() not in (None, killed), 60, "a new responder")

    def kill_warden(self) -> None:
        """SIGKILL; returns when neither lives: a responder does not outlive its warden."""
        self._kill(self.warden)

    def kill_both(self) -> None:
        """SIGKILL to both at once."""
        self._kill(self.warden, self.responder())

    def _kill(self, *pids: int) -> None:
        responder = self.responder()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not _alive(responder), 60, "the responder to follow its warden")

    def stop(self) -> None:
        """In good order. LabError when it did not end well, or a sanitizer had something to say."""
        status, log = self._lab.stop(self.process), self.log_file.read_text()
        if status != 0 or any(sign in log for sign in _SANITIZER_SIGNS):
            raise LabError(f"mxmirage ended with status {status}:\n{log}")

    def log(self) -> str:
        return self.log_file.read_text()


def _announced(notify: socket.socket) -> bool:
    try:
        return b"READY=1" in notify.recv(4096).split(b"\n")
    except TimeoutError:
        return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
