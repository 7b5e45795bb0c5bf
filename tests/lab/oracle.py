"""The witness: what comes out of the host, counted on the internet's side of the wire.

It counts in a netdev ingress chain, before any other rule of its namespace can touch a packet. It is
believed only after a canary: every counter must have moved for traffic sent on purpose, before the
rules under test are loaded. `frames` counts everything, so that a dead witness shows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import zones
from lab import HOST, INET, Lab, LabError

# Name of the counter, what it matches.
_MATCHES = {
    "v4_to_port_25": "meta protocol ip tcp dport 25",
    "v6_to_port_25": "meta protocol ip6 tcp dport 25",
    "v4_from_port_25": "meta protocol ip tcp sport 25",
    "v6_from_port_25": "meta protocol ip6 tcp sport 25",
    "v4_fragments": "ip frag-off & 0x3fff != 0",
    "v6_fragments": "meta protocol ip6 exthdr frag exists",
}
_FRAMES = "frames"
_CANARY_S = 10


def table_text(matches: Mapping[str, str] = _MATCHES, devices: Iterable[str] = ("host",), sets: str = "") -> str:
    """The table that counts, in nft's words."""
    counters = "".join(f"\tcounter {name} {{}}\n" for name in (*matches, _FRAMES))
    rules = "".join(f"\t\t{match} counter name {name}\n" for name, match in matches.items())
    return (f"table netdev oracle {{\n{counters}{sets}\tchain arrival {{\n"
            f"\t\ttype filter hook ingress devices = {{ {', '.join(devices)} }} priority -500; policy accept;\n"
            f"\t\tcounter name {_FRAMES}\n{rules}\t}}\n}}\n")


class Oracle:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        lab.run(INET, "nft", "-f", "-", stdin=table_text())

    def canary(self) -> None:
        """To be called before any rule is loaded. Raises LabError when the oracle is blind; then to zero."""
        before = self._read()
        if any(count for name, count in before.items() if name != _FRAMES):
            raise LabError(f"void: traffic before the canary: {before}")
        addresses = zones.domain_addresses("gmail.com")
        deadline = time.monotonic() + _CANARY_S
        while blind := self._blind_to_canary(addresses):
            # A busy kernel takes its time to notice that a link is up, and IPv6 waits for that.
            if time.monotonic() > deadline:
                raise LabError(f"void: the oracle did not see the canary: {', '.join(blind)}")
        self.reset()

    def _blind_to_canary(self, addresses: Iterable[str]) -> list[str]:
        self._lab.run(HOST, sys.executable, Path(__file__).with_name("canary.py"),
                      *sorted(a for a in addresses if ":" not in a)[:1],
                      *sorted(a for a in addresses if ":" in a)[:1])
        return [name for name, count in self._read().items() if count == 0]

    def reset(self) -> None:
        """Every counter to nothing: what came so far was meant to."""
        self._lab.run(INET, "nft", "reset", "counters", "table", "netdev", "oracle")

    def seen(self) -> dict[str, int]:
        """What left the host for port 25 or as a fragment since the canary: empty when all is well."""
        return {name: count for name, count in self._read().items() if count and name != _FRAMES}

    def frames(self) -> int:
        """All frames since the canary, for tests to see that the oracle is awake."""
        return self._read()[_FRAMES]

    def _read(self) -> dict[str, int]:
        listing = self._lab.run(INET, "nft", "-j", "list", "counters", "table", "netdev", "oracle").stdout
        return {entry["counter"]["name"]: entry["counter"]["packets"]
                for entry in json.loads(listing)["nftables"] if "counter" in entry}
