"""Scenarios about what conntrack holds: connections older than the rules, replies from port 25, a table that is
full, flushed or out of ports; and a flood of packets that only the last chains see."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time

from campaign import Result, Scenario, Void
from lab import HOST, LAN, SOURCES_V4, SOURCES_V6, wait_until
from netns_world import Run, World, build_directory, v4, v6

RESET_S = 1.0
EARLIER = 4  # connections of each family
SPOOFED_V4, SPOOFED_V6 = "203.0.113.77", "2001:db8:100::77"
CONNECTS = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect,mark=7@{v4(2)}", f"raw,src={SOURCES_V4[0]}@{v4(3)}"]
FULL_MAX = 300_000  # where conntrack may hold more than this, filling it would take too long


class Earlier:
    """Connections to the internet's port 25, established while there were no rules."""

    def __init__(self, world: World) -> None:
        before = set(world.servers.accepted())
        self.clients = []
        for number in range(40, 40 + EARLIER):
            for address in (v4(number), v6(number)):
                client = world.lab.socket(HOST, address)
                client.settimeout(RESET_S)
                client.connect((address, 25))
                if not client.recv(100).startswith(b"220 inet"):
                    raise Void("the internet's server did not greet")
                self.clients.append(client)
        self.peers = [peer for peer in world.servers.accepted() if peer not in before]
        if len(self.peers) != len(self.clients):
            raise Void(f"{len(self.peers)} ends of {len(self.clients)} connections")

    def close(self) -> None:
        for client in self.clients:
            client.close()


def _is_reset(client: socket.socket) -> bool:
    """Whether what is sent on it is answered with a reset."""
    try:
        client.send(b"NOOP\r\n")
        client.recv(100)
    except (ConnectionResetError, BrokenPipeError):
        return True
    except OSError:
        pass
    return False


def _arm(world: World) -> None:
    world.mxmirage.start()
    time.sleep(0.002)  # what was on the wire when the rules came is no leak
    world.witness.reset()


def earlier_connections(world: World, rng: random.Random) -> Result:
    """Sending on one gives a reset, and nothing gets out."""
    with world.guarded(rng, CONNECTS, peer=True, start=False) as run:
        earlier = Earlier(world)
        try:
            _arm(world)
            with run.probing():
                if rng.random() < 0.5:
                    for peer in rng.sample(earlier.peers, len(earlier.peers) // 2):
                        peer.send(b"421 4.4.2 too slow\r\n" * rng.randint(1, 50))
                not_reset = sum(not _is_reset(client) for client in rng.sample(earlier.clients, len(earlier.clients)))
                time.sleep(0.05)
            # What the peer had sent may be read first, so that a reset comes with the next.
            run.expect(not_reset <= EARLIER, f"{not_reset} of {len(earlier.clients)} connections were not reset")
        finally:
            earlier.close()
    return run.result


def kernels_own_packets(world: World, rng: random.Random) -> Result:
    """ACK, FIN and RST that the kernel sends by itself, and answers from port 25 to those who never asked."""
    spoofed = [f"raw,src={SPOOFED_V4}@{v4(11)}", f"raw,src={SPOOFED_V6}@{v6(11)}"]  # from the container
    own4, own6 = f"src={SOURCES_V4[0]}", f"src={SOURCES_V6[0]}"
    streams = [f"raw,flags={flags},{own}@{address}" for number, flags in enumerate(("rst", "ack", "fin"), 12)
               for own, address in ((own4, v4(number)), (own6, v6(number)))]
    streams += [f"raw,flags={flags},sport=25,port=40000,src={source}@{address}"
                for number, flags in enumerate(("synack", "rst", "ack"), 20)
                for source, address in ((SPOOFED_V4, v4(number)), (SPOOFED_V6, v6(number)))]
    with world.guarded(rng, streams, peer=True, start=False) as run:
        world.canary(run, LAN, spoofed)
        earlier = Earlier(world)
        try:
            _arm(world)
            with run.probing(), run.probing(spoofed, 500, LAN):
                for client, peer in zip(earlier.clients, rng.sample(earlier.peers, len(earlier.peers))):
                    act = rng.choice(("data from there", "end from there", "end", "reset"))
                    if act == "data from there":
                        peer.send(b"421 4.4.2 too slow\r\n")
                    elif act == "end from there":
                        peer.shutdown(socket.SHUT_WR)
                    else:
                        if act == "reset":
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        client.close()
                time.sleep(0.15)
        finally:
            earlier.close()
    return run.result


def _fill(world: World, *argv: object) -> None:
    world.lab.run(HOST, build_directory() / "tests" / "leak" / "leak-fill-conntrack", *map(str, argv))


def _entries(world: World) -> int:
    return int(world.lab.run(HOST, "sysctl", "-n", "net.netfilter.nf_conntrack_count").stdout)


def conntrack_trouble(world: World, rng: random.Random) -> Result:
    how = rng.choice(("flushed", "flushed", "full", "no ports left"))
    limit = int(world.lab.run(HOST, "sysctl", "-n", "net.netfilter.nf_conntrack_max").stdout)
    if how == "full" and limit > FULL_MAX:
        how = "flushed"
    own = world.mxmirage.file.read_text()
    if how == "no ports left":
        world.mxmirage.file.write_text(own.replace('"4025-4032"', '"4025"'))
    streams = [f"connect,src={SOURCES_V4[0]}@{v4(1)}", f"connect,mark=7,src={SOURCES_V4[0]}@{v4(2)}",
               f"raw,src={SOURCES_V4[0]}@{v4(3)}"] if how == "no ports left" else CONNECTS
    try:
        with world.guarded(rng, streams) as run:
            if how == "full":
                _fill(world, "flows", limit + 1000)
                run.expect(_entries(world) >= limit - 1000, f"conntrack has {_entries(world)} entries, not {limit}")
            elif how == "no ports left":
                _fill(world, "ports", SOURCES_V4[0], 4025)
            with run.probing(rate=2000) as probing:
                if how == "flushed":
                    _flush_in_a_loop(world, 0.3)
                else:
                    time.sleep(0.2)
            if how != "flushed":
                run.expect(probing.counts["greeted"] < probing.counts["sent"] / 4, f"{how}, and most were served")
            world.lab.run(HOST, "conntrack", "-F")
    finally:
        world.mxmirage.file.write_text(own)
    return run.result


def _flush_in_a_loop(world: World, seconds: float) -> None:
    process = world.lab.start(HOST, "sh", "-c", "while :; do conntrack -F; done", stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    world.lab.stop(process)


def flood_of_escapes(world: World, rng: random.Random) -> Result:
    """What the divert does not catch, as fast as it goes: whoever is told of it is there, away, dead or swamped."""
    streams = [f"packet,dev=wan,src={SOURCES_V4[0]}@{v4(1)}", f"packet,dev=wan,bypass,src={SOURCES_V6[0]}@{v6(1)}",
               # What waits in the queue counts against its sender's buffer, 256 packets: so many fill the queue.
               *(f"raw,src={SOURCES_V4[0]}@{v4(n)}" for n in range(2, 6)),
               *(f"raw,src={SOURCES_V6[0]}@{v6(n)}" for n in range(2, 6))]
    how = rng.choice(("there", "no room", "killed", "killed while packets wait", "started again"))
    mxmirage = world.mxmirage
    with world.guarded(rng, streams, foreign=_UNTRACKED) as run:
        means = mxmirage.status()["guard"]["escape_queue"]
        run.expect(means != "counters", "nobody is told who sends")
        queued = means in ("nft_queue", "xt_nfqueue")
        if not queued:
            run.result.notes.append(f"a queue: escapes are seen by {means}")
        with run.probing(rate=0):
            time.sleep(0.05)
            if how in ("no room", "killed while packets wait"):
                os.kill(mxmirage.warden, signal.SIGSTOP)
                if queued:
                    _wait_for_queue(run, _DROPPED if how == "no room" else _WAITING, how)
            if how.startswith("killed") or how == "started again":
                mxmirage.kill_warden()
                run.expect(not _queue(world), f"{how}, and the queue has a listener")
            if how == "started again":
                mxmirage.start()
            time.sleep(0.15)
            if how == "no room":
                os.kill(mxmirage.warden, signal.SIGCONT)
                time.sleep(0.15)
        if how in ("there", "no room", "started again"):
            def paths() -> set[str]:
                return {row["path"] for row in mxmirage.status()["escapes"]}

            wait_until(lambda: {"output", "egress"} <= paths(), 20, f"{how}: who sent is named for both paths")
    return run.result


# Somebody's rule that keeps every packet from the divert.
_UNTRACKED = "table inet foreign {\nchain output { type filter hook output priority -300; notrack; }\n}"
_WAITING, _DROPPED = 2, 5  # columns of the file
_QUEUE_S = 5.0


def _queue(world: World) -> list[int]:
    """The kernel's own words about the escape queue; [] without a listener."""
    return [int(word) for word in world.lab.run(HOST, "cat", "/proc/net/netfilter/nfnetlink_queue").stdout.split()]


def _wait_for_queue(run: Run, column: int, how: str) -> None:
    deadline = time.monotonic() + _QUEUE_S
    while not (_queue(run.world) or [0] * 9)[column]:
        if time.monotonic() > deadline:
            run.expect(False, f"{how}: the queue says {_queue(run.world)}")
            return
        time.sleep(0.01)


SCENARIOS = [
    Scenario(14, "connections older than the rules", earlier_connections),
    Scenario(18, "the kernel's own packets", kernels_own_packets),
    Scenario(19, "conntrack full, flushed, no ports", conntrack_trouble),
    Scenario(25, "flood of escapes", flood_of_escapes),
]
