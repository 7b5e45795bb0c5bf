"""Scenarios about the way out: through the host from a container, over a bridge, by another route, past the
edge of an exclusion."""

from __future__ import annotations

import json
import random
import re
import time

import zones
from campaign import Result, Scenario
from lab import HOST, INET, LAN, SOURCES_V4
from netns_world import Run, World, v4, v6
from witness import WIRE

BRIDGED_V4, CHILD_V4, CHILD_V6 = "192.0.2.70", "192.0.2.20", "2001:db8:0:1::20"
BY_BRIDGE = 130  # the addresses that the container believes to be on its bridge: v4(130)


def _container(world: World, rng: random.Random) -> None:
    """LAN as a container: it reaches the internet through the host, over a bridge of it, and by a macvlan child."""
    world.ip(HOST, "link add bwan type veth peer name w-bwan netns " + world.lab.name(INET),
             "link add blan type veth peer name bridged netns " + world.lab.name(LAN),
             "link add br0 type bridge", "link set bwan master br0", "link set blan master br0",
             "link set br0 up", "link set bwan up", "link set blan up",
             f"link add link wan name child netns {world.lab.name(LAN)} type macvlan mode "
             + rng.choice(("bridge", "vepa", "private")))
    world.ip(INET, f"link set w-bwan master {WIRE}", "link set w-bwan up")
    world.ip(LAN, "link set bridged up", f"address add {BRIDGED_V4}/32 dev bridged",
             f"route add {v4(BY_BRIDGE)}/31 dev bridged src {BRIDGED_V4}",
             "link set child up", f"address add {CHILD_V4}/25 dev child",
             f"address add {CHILD_V6}/64 dev child nodad",
             "route add default via 192.0.2.1 dev child metric 500",
             "route add default via 2001:db8:0:1::1 dev child metric 5000")


def containers(world: World, rng: random.Random) -> Result:
    world.once("container", lambda: _container(world, rng))
    forwarded = [f"connect@{v4(1)}", f"connect@{v6(1)}"]
    streams = [*forwarded, f"raw,src={zones.LAN_ADDRESSES[0]}@{v4(2)}", f"raw,src={zones.LAN_ADDRESSES[1]}@{v6(2)}",
               f"raw,layout=frag8,src={zones.LAN_ADDRESSES[0]}@{v4(3)}",
               f"packet,dev=bridged,src={BRIDGED_V4}@{v4(4)}", f"packet,dev=bridged,src={CHILD_V6}@{v6(4)}",
               f"packet,dev=bridged,tags=1,src={BRIDGED_V4}@{v4(5)}", f"connect,dev=bridged@{v4(BY_BRIDGE)}",
               f"packet,dev=child,src={CHILD_V4}@{v4(6)}", f"packet,dev=child,src={CHILD_V6}@{v6(6)}",
               f"packet,dev=child,tags=1,src={CHILD_V6}@{v6(7)}",
               f"connect,dev=child@{v4(8)}", f"connect,dev=child@{v6(8)}"]
    bridge_calls_ip = rng.choice((0, 0, 1))
    for family in ("iptables", "ip6tables"):
        world.sysctl(HOST, f"net/bridge/bridge-nf-call-{family}", bridge_calls_ip)
    rng.shuffle(streams)
    with world.guarded(rng, streams, space=LAN) as run:
        probing = run.probe_until(lambda probing: all(probing.by_stream[stream]["greeted"] for stream in forwarded))
        for stream in forwarded:
            run.expect(probing.by_stream[stream]["greeted"], f"{stream} from the container was never diverted")
    return run.result


def _second_way(world: World) -> None:
    world.ip(HOST, "link add wan2 type veth peer name w-wan2 netns " + world.lab.name(INET),
             "link set wan2 up", "address add 203.0.113.201/32 dev wan2")
    world.ip(INET, f"link set w-wan2 master {WIRE}", "link set w-wan2 up")


def _vrf_kinds(world: World) -> str:
    """What this kernel lacks, or nothing."""
    done = world.lab.run(HOST, "ip", "link", "add", "vrf0", "type", "vrf", "table", "300", check=False)
    if done.returncode == 0:
        world.ip(HOST, "link delete vrf0")
    return "" if done.returncode == 0 else "VRF: this kernel has none"


def routes(world: World, rng: random.Random) -> Result:
    """The way out changes under open connections, back and forth."""
    world.once("second way", lambda: _second_way(world))
    lacking = world.once("vrf", lambda: _vrf_kinds(world))
    gateway6 = _link_local(world, INET, WIRE)
    streams = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect,mark=7@{v4(2)}", f"connect,mark=7@{v6(2)}",
               f"connect,src={SOURCES_V4[2]}@{v4(3)}"]
    there = ["route replace default dev wan2 src 203.0.113.201", f"-6 route replace default via {gateway6} dev wan2"]
    back = ["route replace default via 192.0.2.1 dev wan", "-6 route replace default via 2001:db8:0:1::1 dev wan"]
    policy = ["route add default dev wan2 table 100", f"-6 route add default via {gateway6} dev wan2 table 100",
              "rule add fwmark 7 lookup 100", "-6 rule add fwmark 7 lookup 100",
              f"rule add from {SOURCES_V4[2]} lookup 100"]
    undo = ["rule del fwmark 7 lookup 100", "-6 rule del fwmark 7 lookup 100",
            f"rule del from {SOURCES_V4[2]} lookup 100", "route flush table 100", "-6 route flush table 100"]
    with world.guarded(rng, streams) as run:
        if lacking:
            run.result.notes.append(lacking)
        with run.probing() as probing:
            for lines in (there, policy, back, undo, there, back):
                for line in lines:
                    world.lab.run(HOST, "ip", *line.split())
                time.sleep(rng.uniform(0.01, 0.04))
        for stream, counts in probing.by_stream.items():
            run.expect(counts["greeted"], f"{stream} was never diverted: {dict(counts)}")
    return run.result


def _link_local(world: World, space: str, device: str) -> str:
    said = world.lab.run(space, "ip", "-j", "-6", "address", "show", "dev", device, "scope", "link").stdout
    return next(entry["local"] for link in json.loads(said) for entry in link.get("addr_info", ()) if "local" in entry)


# Excluded networks, the addresses just outside, and the first and last inside.
FIRST = (("198.51.100.32/28", "2001:db8:100:20::/64"),
         ("198.51.100.31", "198.51.100.48", "2001:db8:100:1f:ffff:ffff:ffff:ffff", "2001:db8:100:21::"),
         ("198.51.100.32", "198.51.100.47", "2001:db8:100:20::", "2001:db8:100:20:ffff:ffff:ffff:ffff"))
SECOND = (("198.51.100.64/28", "2001:db8:100:40::/64"),
          ("198.51.100.63", "198.51.100.80", "2001:db8:100:3f:ffff:ffff:ffff:ffff", "2001:db8:100:41::"),
          ("198.51.100.64", "198.51.100.79", "2001:db8:100:40::", "2001:db8:100:40:ffff:ffff:ffff:ffff"))


def _exclude(world: World, *networks: str) -> None:
    file = world.mxmirage.file
    file.write_text(re.sub(r"exclude = .*", f"exclude = {json.dumps(networks)}", file.read_text()))


def _expect_edges(run: Run, active: tuple, idle: tuple) -> None:
    """What is excluded now reaches the internet's own server, the rest does not."""
    world = run.world
    for address in active[2]:
        said = world.greeting(HOST, address, 25)
        if not said.startswith("220 inet "):
            run.result.inverse.append(f"excluded {address}: {said}")
    for address in (*active[1], *idle[2]):
        said = world.greeting(HOST, address, 25)
        run.expect("inet" not in said, f"{address} is not excluded and was reached")


def exclusions(world: World, rng: random.Random) -> Result:
    link_local = _link_local(world, INET, "host")
    streams = [f"connect@{address}" for address in (*FIRST[1], *SECOND[1])]
    streams += ["connect@::ffff:198.51.100.31", "connect@::ffff:198.51.100.80",
                f"connect,unbound,dev=wan@{link_local}"]
    lan = zones.LAN_EXCLUDE
    try:
        _exclude(world, *lan, *FIRST[0])
        with world.guarded(rng, streams, peer=True) as run:
            world.witness.allow(*FIRST[2], *SECOND[2])
            _expect_edges(run, FIRST, SECOND)
            with run.probing():
                for active, idle in ((SECOND, FIRST), (FIRST, SECOND)):
                    for networks in ((*lan, *active[0]), (), (*lan, *active[0])):
                        _exclude(world, *networks)
                        done = world.mxmirage.command("reload")
                        run.expect(done.returncode == 0, f"not reloaded: {done.stderr.strip()}")
                        if not networks:
                            for address in zones.LAN_ADDRESSES:
                                run.expect("lan" not in world.greeting(HOST, address, 25),
                                           f"nothing is excluded, and {address} was reached")
                    _expect_edges(run, active, idle)
    finally:
        world.witness.allow()
        _exclude(world, *lan)
    return run.result


SCENARIOS = [
    Scenario(15, "forwarded, bridged, macvlan", containers),
    Scenario(17, "routes change, policy routing", routes),
    Scenario(20, "edges of exclusions", exclusions),
]
