"""A whole host with systemd as its first process, booted by systemd-nspawn in the lab's host namespace.

Its root directory is a thin layer over one that is made once (machine_root), so a boot takes about a second and
whatever a test does to it is gone with the lab. The network namespace stays when the machine is switched
off: what a kernel would forget then, forget_rules() does.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from lab import HOST, Lab, LabError, wait_until
from machine_root import machine_root, package_file

# The hierarchies in which systemd keeps its units: version 1 with version 2 beside it, or version 2 alone.
_GROUPS = tuple(path for path in map(Path, ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")) if path.is_dir()
                ) or (Path("/sys/fs/cgroup"),)
_MOUNT = ('mount -t overlay overlay -o "lowerdir=$0,upperdir=$1/upper,workdir=$1/work" "$1/root" && shift && exec "$@"')
BOOT_PATIENCE = 180


class ControlGroups:
    """A machine's own. Without, two side by side would take each other's for theirs, and wait for them without end."""

    def __init__(self, name: str) -> None:
        self._groups = [path / name for path in _GROUPS]

    def command(self, *argv: object) -> list[str]:
        """argv as it must be started to run within."""
        for group in self._groups:
            group.mkdir(exist_ok=True)
        enter = "; ".join(f"echo $$ >{group}/cgroup.procs" for group in self._groups)
        return ["sh", "-c", f'{enter}; exec "$@"', "sh", *map(str, argv)]

    def remove(self) -> None:
        """With those within; what is busy stays, and is used again."""
        for group in self._groups:
            for inner, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    os.rmdir(inner)


class Machine:
    """With the package installed, switched off."""

    def __init__(self, lab: Lab, package: Path | None = None) -> None:
        self._lab = lab
        self.package = package or package_file()
        self._base = machine_root(self.package)
        self.directory = lab.directory / "machine"
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir(parents=True)
        self.console = self.directory / "console"
        self._process: subprocess.Popen | None = None
        self._groups = ControlGroups(f"mxm-{os.getpid()}")
        self.leader = 0
        self.write("/etc/resolv.conf", lab.resolv_conf.read_text())
        self.write("/etc/hostname", "qa\n")

    def path(self, name: str) -> Path:
        """Where a file of the machine is written, also while it is off."""
        return self.directory / "upper" / name.lstrip("/")

    def write(self, name: str, text: str) -> None:
        """Only while it is off: a layer that is in use must not be changed from outside."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def install(self, package: Path | None = None) -> str:
        """dpkg -i, running or not. Returns what it said where it runs."""
        package = package or self.package
        if self.leader:
            self.run("sh", "-c", f"cat >/root/{package.name}", stdin=package.read_bytes())
            return self.run("dpkg", "-i", f"/root/{package.name}").stdout
        self._outside("cp", package, self.directory / "root" / "root")
        self._outside("chroot", self.directory / "root", "dpkg", "-i", f"/root/{package.name}")
        return ""

    def _outside(self, *argv: object) -> None:
        done = subprocess.run(self._command(*argv), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.strip()}")

    def _command(self, *argv: object) -> list[str]:
        """argv with the machine's root mounted, which nobody else sees."""
        return ["unshare", "--mount", "sh", "-c", _MOUNT, str(self._base), str(self.directory), *map(str, argv)]

    def start(self) -> None:
        """Switches it on, and returns as soon as its first process is there."""
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._groups.command(*self._command(
                    "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe",
                    "--directory", self.directory / "root", "--machine", f"mxm-{os.getpid()}",
                    "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--capability=CAP_NET_ADMIN",
                    "--network-namespace-path", f"/run/netns/{self._lab.name(HOST)}"))],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True)
        self._lab.adopt(self._process)
        wait_until(self._find_leader, BOOT_PATIENCE, f"the machine's first process: {self.console}")

    def _find_leader(self) -> bool:
        if self._process.poll() is not None:
            raise LabError(f"the machine did not boot: {self.console.read_text()[-2000:]}")
        for pid in _children(self._process.pid):
            if _name(pid) == "systemd":
                self.leader = pid
        return self.leader != 0

    def boot(self) -> None:
        """Returns when everything that is to start at boot has started or failed."""
        self.start()
        wait_until(lambda: self.systemctl("is-system-running", check=False) in ("running", "degraded"),
                   BOOT_PATIENCE, f"the machine's boot to end: {self.console}")

    def run(self, *argv: str, check: bool = True, timeout: float = 60,
            stdin: str | bytes | None = None) -> subprocess.CompletedProcess:
        """A command in the machine. With check, a failure raises LabError with what the command said."""
        binary = isinstance(stdin, bytes)
        done = subprocess.run(self.inside(*argv), input=stdin, text=not binary, timeout=timeout, capture_output=True)
        if check and done.returncode != 0:
            raise LabError(f"in the machine: {' '.join(argv)}: exit {done.returncode}: {done.stderr or done.stdout}")
        return done

    def inside(self, *argv: str) -> list[str]:
        """argv as it must be started to run in the machine."""
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=cat",
                "DEBIAN_FRONTEND=noninteractive", *map(str, argv)]

    def systemctl(self, *argv: str, check: bool = True) -> str:
        return self.run("systemctl", *argv, check=check).stdout.strip()

    def show(self, unit: str, key: str) -> str:
        return self.systemctl("show", "--value", "--property", key, unit)

    def journal(self, unit: str = "") -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", *(["--unit", unit] if unit else [])).stdout

    def pid(self, unit: str) -> int:
        """The unit's main process, as the machine's host numbers it; 0 without one."""
        inner = int(self.show(unit, "MainPID"))
        return next((pid for pid in _descendants(self.leader) if inner and inner_pid(pid) == inner), 0)

    def responder(self) -> int:
        """0 while there is none."""
        warden = self.pid("mxmirage.service")
        return next(iter(_children(warden)), 0) if warden else 0

    def shut_down(self, how: str = "poweroff") -> int:
        """In good order, as the machine's own `poweroff` or `reboot` would. Returns nspawn's exit status."""
        self.run("systemctl", how, "--no-block")
        return self._ended()

    def cut_power(self) -> None:
        """Every process of it is killed at once."""
        os.kill(self.leader, signal.SIGKILL)
        self._ended()

    def close(self) -> None:
        """Off, if it is on. The lab would end it, too, but in good order, which takes its time."""
        if self.leader:
            self.cut_power()

    def _ended(self) -> int:
        status = self._process.wait(BOOT_PATIENCE)
        self.leader = 0
        self._groups.remove()
        return status

    def forget_rules(self) -> None:
        """What a reboot does to the kernel's rules, where the kernel goes on. Only while it is off."""
        self._lab.run(HOST, "nft", "flush", "ruleset")
        if self._lab.run(HOST, "nft", "list", "ruleset").stdout.strip():
            raise LabError("rules are left that nobody owns any more")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _descendants(pid: int) -> list[int]:
    return [pid, *(found for child in _children(pid) for found in _descendants(child))]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def inner_pid(pid: int) -> int:
    """What the machine itself calls this process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), 0)
