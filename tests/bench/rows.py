"""What the bench measures and what is claimed of it, as tables."""

from dataclasses import dataclass, field

# Who takes mail in a row.
RAW, PEER, SINK, SMART, DIVERTED = "raw", "smtp-sink", "sink mode", "smart mode", "diverted"

# What `mxmirage gen` is told.
PIPELINED, ONE_AT_A_TIME = ["--pipeline"], ["--no-pipeline"]
SINGLE = ["--concurrency", "50", "--messages-per-connection", "1", *ONE_AT_A_TIME]
NO_BOUND = "no target"


@dataclass
class Claim:
    """One taker's figure against another's, run by run; the median is held against the bound, if there is one."""

    text: str
    of: str
    against: str
    at_most: float | None = None
    at_least: float | None = None
    figure: str = "us"
    by: str | None = None  # the figure of `against`, where it is another one

    def held(self, ratio: float) -> bool:
        return ratio <= self.at_most if self.at_most is not None else ratio >= (self.at_least or 0.0)

    @property
    def bound(self) -> str:
        if self.at_most is None and self.at_least is None:
            return NO_BOUND
        return f"at most {self.at_most:.3f}" if self.at_most is not None else f"at least {self.at_least:.2f}"


@dataclass
class Row:
    title: str
    size: int  # octets a message
    options: list[str]  # of `mxmirage gen`
    claims: list[Claim] = field(default_factory=list)
    takers: tuple = (RAW, PEER, SINK, SMART)
    own: dict = field(default_factory=dict)  # options by taker, where they differ
    unit: str = "message"


def size_name(size: int) -> str:
    return f"{size // 1048576} MB" if size >= 1048576 else f"{size // 1024} KB"


CLAIMED = [
    Row("100 KB, 20 connections, pipelined", 102400, PIPELINED, [
        Claim("CPU per 100 KB message, sink mode, of smtp-sink's", SINK, PEER, at_most=0.045),
        Claim("CPU per 100 KB message, smart mode, of smtp-sink's", SMART, PEER, at_most=0.055),
        Claim("CPU per 100 KB message, smart of sink mode's", SMART, SINK, at_most=1.20),
        Claim("100 KB messages a second, of raw reading's", SINK, RAW, at_least=0.60, figure="rate"),
        Claim("100 KB: CPU time of sink mode, of gen's that keeps it busy", SINK, SINK, at_least=1.0, figure="sink",
              by="client"),
    ]),
    Row("100 KB by BDAT, 20 connections (smtp-sink: DATA, pipelined)", 102400, ["--bdat", *PIPELINED], [
        Claim("CPU per 100 KB message by BDAT, sink mode, of smtp-sink's by DATA", SINK, PEER, at_most=0.030),
    ], own={PEER: PIPELINED}),
    Row("1 KB, 20 connections, pipelined", 1024, PIPELINED, [
        Claim("CPU per 1 KB message, pipelined, sink mode, of smtp-sink's", SINK, PEER, at_most=0.52),
        Claim("CPU per 1 KB message, pipelined, smart of sink mode's", SMART, SINK, at_most=1.20),
    ]),
    Row("1 KB, 20 connections, one command at a time", 1024, ONE_AT_A_TIME, [
        Claim("CPU per 1 KB message, not pipelined, sink mode, of smtp-sink's", SINK, PEER, at_most=0.58),
    ]),
    Row("1 KB, 50 connections of one message", 1024, SINGLE, [
        Claim("CPU per connection with one 1 KB message, sink mode, of smtp-sink's", SINK, PEER, at_most=0.58),
    ], unit="connection"),
    Row("banner and QUIT, 50 connections", 1024, ["--concurrency", "50", "--connect-only"], unit="connection"),
]

DIVERT = [
    Row("100 KB, 20 connections, pipelined, through the divert", 102400, PIPELINED, takers=(SINK, DIVERTED)),
    Row("1 KB, 20 connections, pipelined, through the divert", 1024, PIPELINED, takers=(SINK, DIVERTED)),
    Row("1 KB, 50 connections of one message, through the divert", 1024, SINGLE, takers=(SINK, DIVERTED),
        unit="connection"),
]

IN_FLIGHT_MAX = 1 << 30  # octets, a message a connection
SIZES = (1024, 10240, 102400, 1048576)


def grid(sizes=SIZES, connections=(1, 20, 200, 2000)) -> list[Row]:
    claimed = [(row.size, row.options) for row in CLAIMED]
    rows = []
    for size in sizes:
        for count in connections:
            for pipelined in (False, True):
                options = PIPELINED if pipelined else ONE_AT_A_TIME
                if count != 20:
                    options = ["--concurrency", str(count), *options]
                # With 1 MB each on 2,000 connections smtp-sink needs 8 s until the first message is complete.
                if (size, options) in claimed or size * count > IN_FLIGHT_MAX:
                    continue
                how = "pipelined" if pipelined else "one command at a time"
                rows.append(Row(f"{size_name(size)}, {count:,} connection{'s' * (count > 1)}, {how}", size, options))
    return rows


# The client, too, is held against its peer: on sink mode, at 1 KB, over 20 connections that stay.
GEN, GEN_PIPELINED, SOURCE = "gen", "gen, pipelined", "smtp-source"
CLIENT_TITLE = "1 KB, 20 connections: clients on sink mode"
CLIENT_CLAIMS = [
    Claim("1 KB messages a second by gen, pipelined as it does by itself, of smtp-source's", GEN_PIPELINED, SOURCE,
          at_least=1.5, figure="rate"),
    # The sink's own CPU is what limits this one.
    Claim("1 KB messages a second by gen, one command at a time, of smtp-source's", GEN, SOURCE, figure="rate"),
]
SOURCE_CLAIM = Claim("CPU per 100 KB message through smtp-source, {} connection{}", SINK, PEER, at_most=0.10)
SOURCE_TAKERS = (RAW, PEER, SINK)
SOURCE_CONNECTIONS = (1, 20, 200)
UNTIL_DOT = 0  # the size of a message that raw is not told
SOURCE_MESSAGES_EACH = 40
IDLE_CLAIM = Claim("1 KB messages a second of 20 beside {:,} idle, of those without", SINK, "without idle",
                   at_least=0.90, figure="rate")
MEMORY_AT_MOST = 512  # bytes of user memory an idle connection
