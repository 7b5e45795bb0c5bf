"""Scenario 16: devices appear, are renamed, become bridge ports, move away and go, of every kind that this kernel
has, under probes of every kind.

A packet socket on a device that is younger than its link event is faster than anybody who follows events: how long
it gets through is measured. To all else the device's age makes no difference.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import time

from campaign import Result, Scenario, Void
from lab import HOST, INET, LAN, SOURCES_V4, SOURCES_V6
from netns_world import Run, World, v4, v6
from witness import WIRE

DEVICES = 8  # a run
LEAK_MS = 1000.0  # past this a device is not young, it is unguarded; how long it was is a figure, not a verdict
PAUSE_MS = 20.0  # ends a row of frames
YOUNG_RATE = 20_000
AHEAD = "ahead0"  # loaded before it exists, where the configuration can say so
YOUNG_FIRST = 200  # young device n's frames go to v4(200 + n)
CROWD, CROWD_SHARE, CROWD_PROBED = 200, 0.05, 40  # veths at once, in so many of the runs; with probes of their own
CROWD_GROUP = 7
CROWD_FIRST = DEVICES + 3
ROUTED_FIRST = 100
VXLAN_FIRST = 20  # their network identifiers
TUNNEL, TAP, VXLAN = 90, 91, 92  # addresses behind these

_TUNSETIFF, _IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 1, 2, 0x1000
_SEQUENCE_AT = 14 + 20 + 4  # of TCP's number in a frame of ours
_KINDS = {"VLAN": "link wan name kind0 type vlan id 7", "bond": "name kind0 type bond",
          "dummy": "name kind0 type dummy",
          "IPIP": "name kind0 type ipip remote 192.0.2.1 local 192.0.2.11",
          "GRE": "name kind0 type gre remote 192.0.2.1 local 192.0.2.11",
          "ipvlan": "link wan name kind0 type ipvlan", "WireGuard": "name kind0 type wireguard"}


class Tun:
    """A tunnel whose other end is this process: what it reads has left the host."""

    def __init__(self, world: World, name: str, kind: int, address: str) -> None:
        with world.lab.inside(HOST):
            self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self._fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | _IFF_NO_PI))
        world.ip(HOST, f"link set {name} up", f"route add {address}/32 dev {name}",
                 *([f"neighbour add {address} lladdr 02:00:00:00:00:99 dev {name}"] * (kind == _IFF_TAP)))
        self.name = name
        self._at = 14 if kind == _IFF_TAP else 0

    def port_25(self) -> int:
        """How many packets to port 25 have come since the last call."""
        count = 0
        while True:
            try:
                packet = os.read(self._fd, 2048)[self._at:]
            except BlockingIOError:
                return count
            count += len(packet) > 24 and packet[0] == 0x45 and packet[9] == 6 and packet[22:24] == b"\0\x19"

    def close(self) -> None:
        os.close(self._fd)


class Tunnels:
    """One of each kind with a life of its own: tun, tap, VXLAN."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.tuns = [Tun(world, "tun0", _IFF_TUN, v4(TUNNEL)), Tun(world, "tap0", _IFF_TAP, v4(TAP))]
        world.ip(HOST, "link add vx0 type vxlan id 5 remote 192.0.2.1 dstport 4789 dev wan", "link set vx0 up",
                 f"route add {v4(VXLAN)}/32 dev vx0")

    def port_25(self) -> dict[str, int]:
        return {f"{tun.name}_to_port_25": count for tun in self.tuns if (count := tun.port_25())}

    def close(self) -> None:
        """Fine to call twice."""
        if self.tuns:
            self._world.ip(HOST, "link delete vx0")
        while self.tuns:
            self.tuns.pop().close()


def _internet_ends(world: World) -> str:
    """The other ends of the VXLAN devices; returns what this kernel lacks."""
    for name, number in (("vx0", 5), *((f"vx{n}", VXLAN_FIRST + n) for n in range(1, DEVICES + 1))):
        world.ip(INET, f"link add {name} type vxlan id {number} remote {SOURCES_V4[0]} dstport 4789 dev host",
                 f"link set {name} master {WIRE}", f"link set {name} up")
    lacking = []
    for kind, words in _KINDS.items():
        if world.lab.run(HOST, "ip", "link", "add", *words.split(), check=False).returncode == 0:
            world.ip(HOST, "link delete kind0")
        else:
            lacking.append(kind)
    return ", ".join(lacking)


def _tunnel_streams() -> list[str]:
    return [f"connect@{v4(TUNNEL)}", f"raw,src={SOURCES_V4[0]}@{v4(TUNNEL)}", f"connect@{v4(TAP)}",
            f"packet,dev=tap0,src={SOURCES_V4[0]}@{v4(TAP)}", f"packet,dev=tun0,src={SOURCES_V4[0]}@{v4(TUNNEL)}"]


def _knows_devices(world: World) -> bool:
    file = world.mxmirage.directory / "devices.toml"
    file.write_text(f'[guard]\ndevices = ["{AHEAD}"]\n')
    return world.mxmirage.check(file).returncode == 0


def churn(world: World, rng: random.Random) -> Result:
    lacking = world.once("internet's ends", lambda: _internet_ends(world))
    ahead = world.once("guard.devices", lambda: _knows_devices(world))
    own = world.mxmirage.file.read_text()
    if ahead:
        world.mxmirage.file.write_text(own.replace("[counts]", f'[guard]\ndevices = ["{AHEAD}"]\n\n[counts]'))
    stable = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"raw,src={SOURCES_V4[0]}@{v4(2)}",
              f"connect@{v4(VXLAN)}",
              f"packet,wait,dev=vx0,src={SOURCES_V4[0]}@{v4(YOUNG_FIRST + DEVICES + 2)}",
              f"packet,dev=wan,src={SOURCES_V6[0]}@{v6(3)}"]
    tunnels = Tunnels(world)
    try:
        with world.guarded(rng, stable, start=False) as run:
            if lacking:
                run.result.notes.append(f"kinds that this kernel has not: {lacking}")
            world.lab.run(HOST, world.probe, "-n", "3", "-r", "0", "-l", "20", *_tunnel_streams())
            if len(tunnels.port_25()) < 2:
                raise Void("the tunnels' other ends did not see the canary")
            tunnels.close()
            world.mxmirage.start()
            world.witness.allow(*(v4(YOUNG_FIRST + n) for n in range(CROWD_FIRST + CROWD_PROBED)))
            world.witness.reset()
            with run.probing():
                tunnels = Tunnels(world)
                with run.probing(_tunnel_streams()):
                    _live(run, rng, ahead)
                    if rng.random() < CROWD_SHARE:
                        _crowd(run)
                escaped = tunnels.port_25()
            time.sleep(0.02)
            late = _judge_young(run)
            _clear(world)
        run.result.arrived.update(escaped | late)
    finally:
        world.witness.allow()
        tunnels.close()
        _clear(world)
        world.mxmirage.file.write_text(own)
    return run.result


def _clear(world: World) -> None:
    """Devices of a run that are left; whoever goes takes its other end along."""
    for space in (HOST, LAN):
        listing = world.lab.run(space, "ip", "-br", "link").stdout
        names = [line.split()[0].partition("@")[0] for line in listing.splitlines()]
        doomed = [name for name in names if name.startswith(("young", "named", "churned")) or name == AHEAD]
        if doomed:
            world.ip(space, *(f"link delete {name}" for name in doomed))


def _live(run: Run, rng: random.Random, ahead: bool) -> None:
    """The lives of some veths, and of a bridge."""
    world = run.world
    inet = world.lab.name(INET)
    young = [f"packet,wait,dev=young{n},src={SOURCES_V4[0]}@{v4(YOUNG_FIRST + n)}" for n in range(DEVICES)]
    young.append(f"packet,wait,dev=named0,src={SOURCES_V4[0]}@{v4(YOUNG_FIRST + DEVICES)}")
    if ahead:
        young.append(f"packet,wait,dev={AHEAD},src={SOURCES_V4[0]}@{v4(YOUNG_FIRST + DEVICES + 1)}")
    names = [f"young{n}" for n in range(DEVICES)] + [AHEAD] * ahead
    with run.probing(young, YOUNG_RATE):
        for n, name in enumerate(names):
            if n % 2:  # a VXLAN device can send from its first moment
                world.ip(HOST, f"link add {name} up type vxlan id {VXLAN_FIRST + n} remote 192.0.2.1 "
                               "dstport 4789 dev wan")
            else:  # a veth when its other end is up, too
                world.ip(HOST, f"link add {name} up type veth peer name w-{name} netns {inet}")
                world.ip(INET, f"link set w-{name} up", f"link set w-{name} master {WIRE}")
        routed = [f"{kind}@{v4(ROUTED_FIRST + n)}" for n in range(DEVICES)
                  for kind in ("connect", f"raw,src={SOURCES_V4[0]}", f"connect,dev=young{n}")]
        world.ip(HOST, *(f"route add {v4(ROUTED_FIRST + n)}/32 dev young{n}" for n in range(DEVICES)))
        with run.probing(routed):
            time.sleep(0.05)
            world.ip(HOST, "link set young0 down", "link set young0 name named0", "link set named0 up",
                     "link add churned type bridge", "link set churned up")
            # One port at a time: all the other ends are on one wire, and two ports would close a circle.
            for n in rng.sample(range(1, DEVICES), 3):
                world.ip(HOST, f"link set young{n} master churned")
                time.sleep(0.01)
                world.ip(HOST, f"link set young{n} nomaster")
            world.ip(HOST, *(f"link set young{n} netns {world.lab.name(LAN)}" for n in range(2, DEVICES, 3)))
            time.sleep(rng.uniform(0.02, 0.08))
            world.ip(HOST, f"link delete young{rng.choice([1, 3, 4, 6, 7])}")
            time.sleep(0.03)


def _crowd(run: Run) -> None:
    """Very many at once, renamed, made bridge ports, moved away."""
    world = run.world
    inet, lan = world.lab.name(INET), world.lab.name(LAN)
    step = CROWD // CROWD_PROBED
    streams = [f"packet,wait,dev=crowd{n},src={SOURCES_V4[0]}@{v4(YOUNG_FIRST + CROWD_FIRST + n // step)}"
               for n in range(0, CROWD, step)]
    try:
        with run.probing(streams, YOUNG_RATE):
            world.ip(HOST, *(f"link add crowd{n} up group {CROWD_GROUP} type veth peer name w-crowd{n} netns {inet}"
                             for n in range(CROWD)))
            world.ip(INET, *(f"link set w-crowd{n} up" for n in range(CROWD)))
            world.ip(HOST, *(f"link set crowd{n} {change}" for n in range(0, CROWD, 4)
                             for change in ("down", f"name other{n}")),
                     *(f"link set other{n} up" for n in range(0, CROWD, 4)),
                     *(f"link set crowd{n} master churned" for n in range(1, CROWD, 4)),
                     *(f"link set crowd{n} netns {lan}" for n in range(2, CROWD, 4)))
            time.sleep(0.1)
    finally:
        for space in (HOST, LAN):
            world.lab.run(space, "ip", "link", "delete", "group", str(CROWD_GROUP), check=False)


def _episodes(times: list[float]) -> list[tuple[float, float]]:
    """(first, last) of each row of frames that follow each other closely."""
    found: list[tuple[float, float]] = []
    for at in sorted(times):
        if found and at - found[-1][1] < PAUSE_MS:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _judge_young(run: Run) -> dict[str, int]:
    """How long packet sockets got through, from the appearance of a device or of its new name. Returns what is a
    leak."""
    times: dict[int, list[float]] = {}
    for _, _, frame in run.world.witness.captured():
        number = frame[33] - YOUNG_FIRST if frame[30:33] == bytes((198, 51, 100)) else -1
        if 0 <= number < CROWD_FIRST + CROWD_PROBED and frame[12:14] == b"\x08\x00":
            times.setdefault(number, []).append(struct.unpack_from("!I", frame, _SEQUENCE_AT)[0] / 1000)
    if ahead := times.pop(DEVICES + 1, None):
        run.expect(False, f"{len(ahead)} frames by a device that was loaded ahead, the last after {max(ahead)} ms")
    # The device that is renamed keeps its socket, whose clock goes on: its second row is the name's youth.
    windows = [last - (0 if first < PAUSE_MS else first) for frames in times.values()
               for first, last in _episodes(frames)]
    worst = max(windows, default=0.0)
    run.result.figures["young device, ms"] = worst
    run.result.figures["young devices with a frame"] = len(times)
    run.result.figures["load of the machine"] = round(os.getloadavg()[0], 1)
    if worst > LEAK_MS:
        return {"devices_no_longer_young": sum(ms > LEAK_MS for ms in windows)}
    return {}


SCENARIOS = [Scenario(16, "devices come, change and go", churn, chunk=10)]
