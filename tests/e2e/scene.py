"""What the end-to-end tests share: the way to the lab's modules, and messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from postfix import SENDER_DOMAINS  # noqa: E402 (found by the line above)


def message(number: int, *recipients: str, lines: int = 8) -> dict:
    """A whole message, so that the MTA under test has nothing to add but its trace header. Some lines
    begin with dots, for the sake of transparency (RFC 5321 4.5.2)."""
    sender = f"sender{number}@{SENDER_DOMAINS[number % len(SENDER_DOMAINS)]}"
    body = "".join(f"{'.' * (n % 4)}line {n} of message {number}\r\n" for n in range(lines))
    return {"from": sender, "to": list(recipients), "text": (
        f"From: <{sender}>\r\nTo: <{recipients[0]}>\r\nSubject: message {number}\r\n"
        f"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\nMessage-ID: <{number}@qa.example>\r\n\r\n{body}")}


def increase(before: Mapping[str, dict], after: Mapping[str, dict], column: str) -> dict[str, int]:
    """By how much a column grew in each row of two readings; rows that did not move are left out."""
    grown = {key: row.get(column, 0) - before.get(key, {}).get(column, 0) for key, row in after.items()}
    return {key: by for key, by in grown.items() if by}


# What precedence() says of a warden that may run in real time, and of one that may not.
AHEAD = (os.SCHED_RR | os.SCHED_RESET_ON_FORK, 0)
AHEAD_BY_NICE = (os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, -15)


def precedence(pid: int) -> tuple[int, int]:
    """The scheduling policy and the nice value."""
    return os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid)


def sanitized(pid: int) -> bool:
    """Built with a sanitizer, which keeps freed memory."""
    return "libasan" in Path(f"/proc/{pid}/maps").read_text()


def without_trace(data: str) -> str:
    """A received message without the Received fields in front of it."""
    lines = data.splitlines(keepends=True)
    in_trace = False
    for number, line in enumerate(lines):
        in_trace = line.startswith("Received:") or (in_trace and line[0] in " \t")
        if not in_trace:
            return "".join(lines[number:])
    return ""
