"""Scenarios about what a program can send with: sockets of every kind, raw and packet sockets, and what others'
rules make of it."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter

from campaign import Result, Scenario
from lab import HOST, INET, SOURCES_V4, SOURCES_V6
from netns_world import World, v4, v6
from witness import REWRITTEN_PORT

CLAIMS = (0, 0x0800, 0x86DD, 0x8100, 0x88A8, 0x1234)  # protocols that a packet socket may claim
IP_FREEBIND = 15
PROBE_S = 0.12
HANG_S = 1.0
SPOOFED_V4, SPOOFED_V6 = "203.0.113.77", "2001:db8:100::77"


def sockets(world: World, rng: random.Random) -> Result:
    streams = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect@::ffff:{v4(2)}", f"connect,mark=7@{v4(3)}",
               f"connect,mptcp@{v4(4)}", f"connect,mptcp@{v6(4)}", f"connect,fastopen@{v4(5)}",
               f"connect,fastopen@{v6(5)}", f"connect,src={SOURCES_V4[1]}@{v4(6)}"]
    rng.shuffle(streams)
    with world.guarded(rng, streams) as run:
        probing = run.probe_until(lambda probing: all(map(_answered, probing.by_stream.items())))
        for stream, counts in probing.by_stream.items():
            run.expect(_answered((stream, counts)), f"{stream} was never diverted: {dict(counts)}")
    return run.result


def _answered(row: tuple[str, Counter[str]]) -> int:
    """A fast one has spoken before it was greeted: it is answered, and shown the door."""
    stream, counts = row
    return counts["greeted"] + counts["closed"] * ("fastopen" in stream)


def bound_to_device(world: World, rng: random.Random) -> Result:
    streams = [f"connect,dev=wan@{v4(1)}", f"connect,dev=wan@{v6(1)}", f"connect,dev=wan@::ffff:{v4(2)}",
               f"connect,dev=wan,mark=7,src={SOURCES_V4[2]}@{v4(3)}"]
    with world.guarded(rng, streams) as run:
        with run.probing():
            time.sleep(PROBE_S)
        for address in (v4(4), v6(4)):
            run.expect(not _times_out(world, address), f"bound to a device, a connection to {address} hangs")
    return run.result


def _times_out(world: World, address: str) -> bool:
    with world.lab.socket(HOST, address) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wan")
        client.settimeout(HANG_S)
        try:
            client.connect((address, 25))
        except TimeoutError:
            return True
        except OSError:
            pass
        return False


def raw_sockets(world: World, rng: random.Random) -> Result:
    own4, own6 = f"src={SOURCES_V4[0]}", f"src={SOURCES_V6[0]}"
    streams = [f"raw,{own4}@{v4(1)}", f"raw,{own6}@{v6(1)}", f"raw,nodefrag,{own4}@{v4(2)}",
               f"raw,layout=options,{own4}@{v4(3)}", f"raw,layout=options,{own6}@{v6(3)}",
               f"raw,layout=frag8,{own4}@{v4(4)}", f"raw,layout=frag8,nodefrag,{own4}@{v4(5)}",
               f"raw,layout=tail,nodefrag,{own4}@{v4(6)}", f"raw,layout=tail,{own4}@{v4(7)}",
               f"raw,layout=frag8,{own6}@{v6(4)}", f"raw,layout=tail,{own6}@{v6(6)}",
               f"raw,layout=late,{own6}@{v6(7)}",
               f"raw,flags=synack,sport=25,port=40000,src={SPOOFED_V4}@{v4(8)}",
               f"raw,flags=synack,sport=25,port=40000,src={SPOOFED_V6}@{v6(8)}"]
    rng.shuffle(streams)
    with world.guarded(rng, streams) as run:
        with run.probing():
            time.sleep(PROBE_S)
        for address in (v4(9), v6(9)):
            if not _datagram_in_fragments_arrives(world, address):
                run.result.inverse.append(f"a fragmented datagram to {address} does not arrive")
    return run.result


def _datagram_in_fragments_arrives(world: World, address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with world.lab.inside(INET):
        receiver = socket.socket(family, socket.SOCK_DGRAM)
    with world.lab.inside(HOST):
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)  # the internet has every address
        receiver.bind((address, 9))
        receiver.settimeout(1)
        sender.sendto(bytes(4000), (address, 9))
        try:
            return len(receiver.recv(5000)) == 4000
        except TimeoutError:
            return False


def packet_sockets(world: World, rng: random.Random) -> Result:
    streams = []
    for number, (tags, layout) in enumerate([(0, "plain"), (0, "options"), (0, "frag8"), (0, "tail"), (1, "plain"),
                                             (1, "options"), (2, "plain"), (2, "options"), (3, "plain"),
                                             (3, "options"), (1, "frag8"), (1, "tail"), (2, "late")], 10):
        # Who bypasses the queue leaves more unset for the rules to read; who lies about the protocol, too.
        how = rng.choice(("", ",bypass", ",bypass")) + rng.choice(("", "", *(f",proto={n}" for n in CLAIMS)))
        kind = f"packet,dev=wan{how},tags={tags},layout={layout}"
        streams += [f"{kind},src={SOURCES_V4[0]}@{v4(number)}", f"{kind},src={SOURCES_V6[0]}@{v6(number)}"]
    streams += [f"packet,dev=wan,bypass,layout=late,src={SOURCES_V6[0]}@{v6(30)}"]
    rng.shuffle(streams)
    with world.guarded(rng, streams) as run, run.probing(rate=2500):
        time.sleep(PROBE_S)
    return run.result


def untracked(world: World, rng: random.Random) -> Result:
    what = rng.choice(("", "tcp dport 25 "))
    priority = rng.choice((-300, -301, -1000))
    foreign = "table inet foreign {\n" + "".join(
        f"chain {hook} {{ type filter hook {hook} priority {priority}; {what}notrack; }}\n"
        for hook in ("output", "prerouting")) + "}"
    streams = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect,dev=wan@{v4(2)}", f"raw,src={SOURCES_V4[0]}@{v4(3)}",
               f"raw,src={SOURCES_V6[0]}@{v6(3)}"]
    with world.guarded(rng, streams, foreign=foreign) as run, run.probing():
        time.sleep(PROBE_S)
    return run.result


def foreign_rules(world: World, rng: random.Random) -> Result:
    """Others accept at every hook, and rewrite ports, at random priorities; loaded before us or after."""
    lines = []
    for hook in ("output", "forward", "postrouting", "prerouting", "input"):
        lines.append(f"chain {hook} {{ type filter hook {hook} priority {rng.randint(-1000, 1000)}; accept; }}")
    streams = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect,dev=wan@{v4(2)}", f"raw,src={SOURCES_V4[0]}@{v4(3)}"]
    away, back = rng.choice(((True, False), (False, True), (True, True)))
    rewrites = [f"{internet} tcp dport {port} dnat to :{to};"
                for port, to, chosen in ((25, REWRITTEN_PORT, away), (REWRITTEN_PORT, 25, back)) if chosen
                for internet in ("ip daddr 198.51.100.0/24", "ip6 daddr 2001:db8:100::/40")]
    lines.append(f"chain nat_output {{ type nat hook output priority {rng.choice((-199, -198, -150, -100, 0, 300))}; "
                 f"{' '.join(rewrites)} }}")
    lines.append(f"chain nat_postrouting {{ type nat hook postrouting priority {rng.randint(-199, 300)}; "
                 f"{rng.choice(('masquerade;', 'tcp dport 25 masquerade;', 'accept;'))} }}")
    if back:
        streams += [f"connect,port={REWRITTEN_PORT}@{v4(4)}", f"connect,port={REWRITTEN_PORT}@{v6(4)}"]
    lines.append(f"}}\ntable netdev foreign {{\nchain egress {{ type filter hook egress device \"wan\" "
                 f"priority {rng.randint(-1000, 1000)}; accept; }}\n}}")
    foreign = "table inet foreign {\n" + "\n".join(lines)
    late = rng.random() < 0.5
    with world.guarded(rng, streams, foreign=foreign) as run:
        if late:
            with run.probing([s for s in streams if "port=" not in s]):
                world.nft("delete table inet foreign; delete table netdev foreign")
                world.nft(foreign)
                time.sleep(PROBE_S)
        else:
            with run.probing():
                time.sleep(PROBE_S)
    return run.result


SCENARIOS = [
    Scenario(1, "sockets of every kind", sockets),
    Scenario(2, "bound to a device", bound_to_device),
    Scenario(3, "raw sockets, fragments", raw_sockets),
    Scenario(4, "packet sockets, tags", packet_sockets),
    Scenario(5, "untracked by others", untracked),
    Scenario(6, "others accept and rewrite", foreign_rules),
]
