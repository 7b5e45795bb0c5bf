"""A control group with little memory, for the kernel to kill in: a process of it that is to die, and one beside
it that uses the memory up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import LabError, wait_until

LIMIT = 16 << 20
_HOG = f"blocks = []\nwhile len(blocks) < {4 * LIMIT >> 20}: blocks.append(bytearray(1 << 20))"
# By version of control groups: where they are, the limit's file, the file that counts kills.
_VERSIONS = ((Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.oom_control"),
             (Path("/sys/fs/cgroup"), "memory.max", "memory.events"))


def kill_for_memory(victim: int) -> None:
    """The kernel's own killer takes the victim. Raises LabError where there is no such control group."""
    root, limit, events = next(version for version in _VERSIONS if version[0].is_dir())
    group = root / f"mxm-{os.getpid()}"
    group.mkdir()
    hog = None
    try:
        if not (group / limit).exists():
            raise LabError(f"{root}: no memory limits there")
        (group / limit).write_text(str(LIMIT))
        (group / "cgroup.procs").write_text(str(victim))
        Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
        hog = subprocess.Popen([sys.executable, "-c", "input()\n" + _HOG], stdin=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        (group / "cgroup.procs").write_text(str(hog.pid))
        hog.stdin.write(b"\n")
        hog.stdin.close()
        wait_until(lambda: _kills(group / events) > 0, 20, "the kernel to kill for want of memory")
        wait_until(lambda: not Path(f"/proc/{victim}").exists(), 20, "the process to be killed for want of memory")
    finally:
        if hog:
            hog.kill()
            hog.wait()
        for pid in (group / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(pid)
        wait_until(lambda: _removed(group), 10, f"{group} to be removed")


def _kills(file: Path) -> int:
    return next((int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("oom_kill ")), 0)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True
