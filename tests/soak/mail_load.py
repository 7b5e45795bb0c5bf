"""The load: the traffic generator once for each row of a mix, all at the same time, the rounds in turn from a few
source addresses. What mxmirage counts for these addresses is what it counted for those rounds."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import zones
from lab import HOST, Lab
from mxmirage import Mxmirage

PATIENCE_S = 120  # for what a sender has under way at its end; it gives up sooner
SUFFIX_DOMAINS = 2000
# A throttled sender has one message at a time under way on a connection. So it must be where the maximum is measured,
# or half of it would be more than half of what these senders can do.
UNBOUNDED = 10_000_000


class Row(NamedTuple):
    """A sender of the mix. It keeps to what the provider allows, as one does whose mail is wanted."""

    name: str
    domain: str  # whose MX takes the mail; "" for the host of 2000 domains
    family: int
    connections: int
    options: str


MIX = (
    Row("1 KB, many domains", "", zones.V4, 20, "--body-size 1kb"),
    Row("1 KB, not pipelined", "gmail.com", zones.V6, 4, "--body-size 1kb --no-pipeline --messages-per-connection 40"),
    Row("1 KB, a connection each", "t-online.de", zones.V4, 8, "--body-size 1kb --messages-per-connection 1"),
    Row("10 KB", "yahoo.com", zones.V4, 10, "--body-size 10kb --messages-per-connection 15"),
    Row("10 KB by BDAT, not pipelined", "example.org", zones.V6, 4,
        "--body-size 10kb --bdat --no-pipeline --messages-per-connection 40"),
    Row("100 KB", "web.de", zones.V4, 3, "--body-size 100kb --messages-per-connection 10"),
    Row("100 KB by BDAT", "proton.me", zones.V6, 20, "--body-size 100kb --bdat"),
    Row("100 KB, beside the idle", "free.fr", zones.V6, 4, "--body-size 100kb --no-pipeline --idle 400"),
)


class Sources:
    """One of each family for a round, on the host's device towards the internet. A few are enough, and each sender
    that is new takes memory in tables that are bounded, and far from full."""

    TURNS = 4

    @staticmethod
    def of(turn: int) -> tuple[str, str]:
        return f"192.0.2.{40 + turn}", f"2001:db8:0:1::{0x1000 + turn:x}"

    @staticmethod
    def add(lab: Lab) -> None:
        lines = []
        for turn in range(Sources.TURNS):
            v4, v6 = Sources.of(turn)
            lines += [f"address add {v4}/25 dev wan", f"address add {v6}/64 dev wan nodad"]
        lab.run(HOST, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")


class Said(NamedTuple):
    """What senders say became of their messages."""

    accepted: int
    tempfail: int
    permfail: int
    in_doubt: int  # the connection ended before the reply came
    cut: int  # connections that broke behind a refusal, before RSET was answered
    begun: int

    def __add__(self, other: Said) -> Said:
        return Said(*map(sum, zip(self, other)))

    @staticmethod
    def of(results: list[dict]) -> Said:
        counts = Counter(accepted=sum(result["sent"] for result in results))
        for failure in (f for result in results for f in result["failures"]):
            kind = {4: "tempfail", 5: "permfail"}.get(failure["code"] // 100, "in_doubt")
            counts[kind] += failure["messages"]
            if failure["code"] == 0 and failure["phase"] == "rset":
                counts["cut"] += failure["connections"]
        return Said(counts["accepted"], counts["tempfail"], counts["permfail"], counts["in_doubt"], counts["cut"],
                    counts["accepted"] + counts["tempfail"] + counts["permfail"] + counts["in_doubt"])


class Round:
    """One gen process for each row of the mix, for some seconds."""

    def __init__(self, mxmirage: Mxmirage, lab: Lab, rng: random.Random, number: int, seconds: float,
                 rates: dict[str, float] | None = None) -> None:
        """rates: messages a second for each row; None: as fast as it goes."""
        self.number = number
        self._results: list[dict] = []
        self._processes: list[tuple[subprocess.Popen, Path]] = []
        for index, row in enumerate(MIX):
            log = lab.directory / f"gen-{number}-{index}"
            with open(log.with_suffix(".json"), "wb") as out:
                process = lab.start(HOST, mxmirage.binary, "gen", *_options(row, rng, number, seconds),
                                    "--throttle", f"{max(1, round(rates[row.name])) if rates else UNBOUNDED}/s",
                                    stdout=out, stderr=subprocess.DEVNULL)
            self._processes.append((process, log.with_suffix(".json")))

    def interrupt(self) -> None:
        for process, _ in self._processes:
            if process.poll() is None:
                process.terminate()

    def is_over(self) -> bool:
        return all(process.poll() is not None for process, _ in self._processes)

    def results(self) -> dict[str, dict]:
        """By row, once all have ended. A sender that ends otherwise than it should has nothing to say: an error."""
        said = {}
        for row, (process, file) in zip(MIX, self._processes):
            process.wait(PATIENCE_S)
            text = file.read_text()
            if not text:
                raise RuntimeError(f"gen, {row.name}: exit status {process.returncode} and no result")
            said[row.name] = json.loads(text)
        return said

    def said(self) -> Said:
        return Said.of(list(self.results().values()))


def _options(row: Row, rng: random.Random, number: int, seconds: float) -> list[str]:
    if row.domain:
        target = rng.choice([a for a in sorted(zones.domain_addresses(row.domain))
                             if (":" in a) == (row.family == zones.V6)])
        domains, suffix = ["--domain", row.domain], ""
    else:
        target, suffix = zones.SUFFIX_ADDRESS, zones.SUFFIXES[0]
        domains = [word for n in range(SUFFIX_DOMAINS) for word in ("--domain", f"d{n}")]
    sources = [word for source in Sources.of(number % Sources.TURNS) for word in ("--source", source)]
    return ["--target", f"[{target}]:25" if ":" in target else f"{target}:25", *domains, "--domain-suffix", suffix,
            "--concurrency", str(row.connections), "--threads", "1", "--keep-going", "--json",
            "--duration", f"{seconds:g}", "--seed", str(rng.randrange(1 << 31)), *sources, *row.options.split()]
