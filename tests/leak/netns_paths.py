"""Scenarios about the ways that a packet can take: sockets of all kinds, raw and packet sockets."""

from __future__ import annotations

import random
import time

from campaign import Result, Scenario
from netns_world import HOST, World, v4, v6

PROBE_S = 0.12


def sockets(world: World, rng: random.Random) -> Result:
    streams = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect@::ffff:{v4(2)}", f"connect,mark=7@{v4(3)}",
               f"connect,mptcp@{v4(4)}", f"connect,mptcp@{v6(4)}", f"connect,fastopen@{v4(5)}",
               f"connect,fastopen@{v6(5)}", f"connect,src=192.0.2.12@{v4(6)}"]
    rng.shuffle(streams)
    with world.guarded(rng, streams) as run:
        with run.probing() as probing:
            time.sleep(PROBE_S)
        for stream, counts in probing.by_stream.items():
            run.expect(counts["greeted"] > 0, f"{stream} was never diverted: {dict(counts)}")
    return run.result


SCENARIOS = [
    Scenario(1, "sockets of every kind", sockets),
]
