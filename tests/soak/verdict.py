"""What a soak has shown: the counts of both sides, the memory, the descriptors; and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mail_load import Said, Sources
from samples import SLOPE_FROM_S, WARM_UP_S, Sample, Series

SLOPE_MAX_MB_H = 1.0
COLUMNS = ("accepted", "tempfail", "permfail")


@dataclass
class Happened:
    """A fault and what came of it."""

    at_s: float
    name: str
    took_s: float  # until it was undone
    still_s: float | None  # until a message was accepted behind that; None: none in time


@dataclass
class Findings:
    seed: int
    seconds: float = 0
    max_rate: float = 0  # messages a second, of which the load is half
    said: dict[int, Said] = field(default_factory=dict)  # by round: what its senders say
    counted: dict[int, dict[str, int]] = field(default_factory=dict)  # by turn of the sources: what mxmirage says
    hostile: dict = field(default_factory=dict)
    hostile_counted: int = 0
    happened: list[Happened] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    fresh: dict[str, Sample] = field(default_factory=dict)  # by role: before the first connection
    idle: dict[str, Sample] = field(default_factory=dict)  # by role: after the last
    seen: dict[str, int] = field(default_factory=dict)  # at the oracle
    frames: int = 0
    status: dict = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)  # the soak itself went wrong


def wrong(findings: Findings) -> Iterator[str]:
    """Each thing that is not as it must be."""
    yield from findings.errors
    for turn, said in by_turn(findings.said).items():
        yield from (f"rounds from {Sources.of(turn)[0]}: {what}" for what in miscounts(said, findings.counted[turn]))
    own = findings.hostile
    if own and not own["accepted"] <= findings.hostile_counted <= own["accepted"] + own["in_doubt"]:
        yield f"hostile clients saw {own['accepted']} messages accepted, {findings.hostile_counted} are counted"
    for role, idle in findings.idle.items():
        fresh = findings.fresh[role]
        if idle.descriptors > fresh.descriptors:
            yield f"{role}: {fresh.descriptors} descriptors at first, {idle.descriptors} at last"
        if idle.threads > fresh.threads:
            yield f"{role}: {fresh.threads} threads at first, {idle.threads} at last"
    for series in findings.series:
        slope = series.slope_mb_h("resident_kb")
        if slope is not None and slope > SLOPE_MAX_MB_H:
            yield f"{series.role} {series.pid}: resident memory grows by {slope:.2f} MB an hour"
    if findings.seen:
        yield f"left the host: {findings.seen}"
    if not findings.frames:
        yield "void: the oracle saw no frame at all"
    if not any(said.accepted for said in findings.said.values()):
        yield "void: not one message was accepted"


def by_turn(said: dict[int, Said]) -> dict[int, Said]:
    """What the senders say of all rounds that had the same source addresses."""
    sums: dict[int, Said] = {}
    for number, one in said.items():
        turn = number % Sources.TURNS
        sums[turn] = sums[turn] + one if turn in sums else one
    return sums


def miscounts(said: Said, counted: dict[str, int]) -> Iterator[str]:
    """A message is counted before it is answered, so mxmirage may have counted more than senders saw: at most what was
    in doubt when connections broke. It counts a refused one when the sender goes on, so of these it may miss as many
    as broke between the refusal and that. It never misses one that was accepted."""
    doubt = said.in_doubt
    for column in COLUMNS:
        seen, count = getattr(said, column), counted[column]
        least = seen if column == "accepted" else seen - said.cut
        if not least <= count <= seen + doubt:
            yield f"{column}: senders saw {seen}, {count} are counted, {doubt} were in doubt, {said.cut} cut"
    surplus = sum(counted[c] - getattr(said, c) for c in COLUMNS)
    if surplus > doubt:
        yield f"{surplus} messages more are counted than senders began to see, and {doubt} were in doubt"


def table(findings: Findings) -> Iterator[str]:
    """Lines for people."""
    rounds = findings.said.values()
    total = {c: sum(getattr(said, c) for said in rounds) for c in COLUMNS}
    counted = {c: sum(row[c] for row in findings.counted.values()) for c in COLUMNS}
    yield f"{findings.seconds / 60:.1f} minutes, seed {findings.seed}; at most {findings.max_rate:,.0f} messages/s, " \
          f"load {findings.max_rate / 2:,.0f}/s; {sum(said.begun for said in rounds):,} messages begun"
    yield ""
    yield f"{'messages':<12}{'senders saw':>14}{'counted':>14}{'more':>8}"
    for column in COLUMNS:
        yield f"{column:<12}{total[column]:>14,}{counted[column]:>14,}{counted[column] - total[column]:>8,}"
    yield f"in doubt, since their connections broke: {sum(said.in_doubt for said in rounds):,}, in " \
          f"{sum(said.in_doubt > 0 for said in rounds)} of {len(rounds)} rounds"
    if findings.hostile:
        yield f"hostile connections: {findings.hostile['clients']:,}; their messages: {findings.hostile['accepted']} " \
              f"seen accepted, {findings.hostile['in_doubt']} in doubt, {findings.hostile_counted} counted"
    yield ""
    yield f"{'process':<18}{'lived s':>9}{'RSS first':>11}{'warm':>9}{'last':>9}{'most':>9}{'MB/h':>8}{'anon MB/h':>11}" \
          f"{'fds':>6}{'threads':>9}"
    for series in findings.series:
        yield _series_line(series)
    yield f"RSS in MB. MB/h: least squares over one process's samples behind its first {WARM_UP_S} s (each kind of " \
          f"fault has come once by then), where they cover {SLOPE_FROM_S} s or more."
    for role, idle in findings.idle.items():
        fresh = findings.fresh[role]
        yield f"{role}, without a connection: descriptors {fresh.descriptors} at first, {idle.descriptors} at last; " \
              f"threads {fresh.threads}, {idle.threads}"
    yield ""
    yield f"{'at':>8}  {'fault':<26}{'lasted s':>10}{'no mail for s':>15}"
    for fault in findings.happened:
        still = "never again" if fault.still_s is None else f"{fault.still_s:.2f}"
        yield f"{fault.at_s:>7.0f}s  {fault.name:<26}{fault.took_s:>10.2f}{still:>15}"
    yield ""
    yield f"for port 25 outside: {sum(findings.seen.values())} of {findings.frames:,} frames that left the host"


def _series_line(series: Series) -> str:
    def mb(kb: int) -> str:
        return f"{kb / 1024:.1f}"

    def rate(column: str) -> str:
        slope = series.slope_mb_h(column)
        return "-" if slope is None else f"{slope:+.2f}"

    samples, warm = series.samples, series.warm()
    return (f"{series.role + ' ' + str(series.pid):<18}{series.seconds:>9.0f}{mb(samples[0].resident_kb):>11}"
            f"{mb(warm[0].resident_kb) if warm else '-':>9}{mb(samples[-1].resident_kb):>9}"
            f"{mb(max(s.resident_kb for s in samples)):>9}{rate('resident_kb'):>8}{rate('anonymous_kb'):>11}"
            f"{samples[-1].descriptors:>6}{samples[-1].threads:>9}")
