"""What is done to mxmirage and to the host under it, one a round. A fault is over when it has been undone; how long mail
then stood still is for the caller to see."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import zones
from lab import HOST
from world import World

ASLEEP_S = (2, 5)  # seconds that a process is stopped for
DNS_DEAD_S = 10
INJECTED_S = 8
CHURNS = 10
SETTLES_ROUNDS = 5


class Fault(NamedTuple):
    name: str
    do: Callable[[World, random.Random, float], None]  # the last: seconds that it may take at most
    kills: bool = False


def kill_responder(world: World, _rng: random.Random, _most_s: float) -> None:
    world.mxmirage.kill_responder()


def kill_warden(world: World, _rng: random.Random, _most_s: float) -> None:
    """Started again at once, as systemd would."""
    world.mxmirage.kill_warden()
    world.mxmirage.start()


def kill_both(world: World, _rng: random.Random, _most_s: float) -> None:
    world.mxmirage.kill_both()
    world.mxmirage.start()


def flush_ruleset(world: World, _rng: random.Random, _most_s: float) -> None:
    world.lab.run(HOST, "nft", "flush", "ruleset", check=False)


def reload_good(world: World, rng: random.Random, _most_s: float) -> None:
    """Another seed, and back."""
    own = world.mxmirage.file.read_text()
    world.mxmirage.file.write_text(own.replace("[answer]\n", f"[answer]\nseed = {rng.randrange(1 << 30)}\n"))
    try:
        _reload(world, good=True)
    finally:
        world.mxmirage.file.write_text(own)
    _reload(world, good=True)


def reload_bad(world: World, rng: random.Random, _most_s: float) -> None:
    own = world.mxmirage.file.read_text()
    world.mxmirage.file.write_text(rng.choice(('[divert]\nexclude = ["192.0.2.300/24"]\n', "[divert\n",
                                               '[divert]\nports = [25, "x"]\n', "[nonsense]\na = 1\n")))
    try:
        _reload(world, good=False)
    finally:
        world.mxmirage.file.write_text(own)


def _reload(world: World, good: bool) -> None:
    """By the socket's name: the file is the daemon's to read."""
    done = world.lab.run(HOST, world.mxmirage.binary, "reload", "--socket", world.mxmirage.socket, check=False)
    if (done.returncode == 0) != good:
        raise RuntimeError(f"reload of a {'good' if good else 'bad'} file: exit status {done.returncode}: {done.stderr}")


def dns_dead(world: World, _rng: random.Random, most_s: float) -> None:
    _stop_for(min(DNS_DEAD_S, most_s), world.nameserver.pid)


def responder_asleep(world: World, rng: random.Random, most_s: float) -> None:
    _stop_for(min(rng.uniform(*ASLEEP_S), most_s), world.mxmirage.responder())


def warden_asleep(world: World, rng: random.Random, most_s: float) -> None:
    _stop_for(min(rng.uniform(*ASLEEP_S), most_s), world.mxmirage.warden)


def _stop_for(seconds: float, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def link_flap(world: World, rng: random.Random, most_s: float) -> None:
    """Down, up; what the kernel forgets of the routes is made again."""
    world.lab.run(HOST, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/wan/keep_addr_on_down")
    world.lab.run(HOST, "ip", "link", "set", "wan", "down")
    time.sleep(min(rng.uniform(0.1, 2), most_s))
    world.lab.run(HOST, "ip", "link", "set", "wan", "up")
    for family, gateway in (("-4", "192.0.2.1"), ("-6", "2001:db8:0:1::1")):
        world.lab.run(HOST, "ip", family, "route", "replace", "default", "via", gateway)


def device_churn(world: World, _rng: random.Random, _most_s: float) -> None:
    lines = []
    for n in range(CHURNS):
        lines += [f"link add soak{n} type veth peer name peer{n}", f"link set soak{n} up", f"link set soak{n} down",
                  f"link set soak{n} name soaked{n}", f"link set soaked{n} up", f"link delete soaked{n}"]
    world.lab.run(HOST, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")


def inject(world: World, rng: random.Random, most_s: float) -> None:
    seconds = round(min(INJECTED_S, most_s))
    words = rng.choice((["451", "4.7.1", "Slow down", "--domain", rng.choice(zones.DOMAINS).name],
                        ["550", "5.7.1", "Go away", "--domain", f".{zones.SUFFIXES[0]}"],
                        ["554", "5.7.1", "Spam", "--phase", "end_of_data", "--provider", "default"],
                        ["421", "4.3.2", "Closing", "--phase", "mail", "--provider", "google"]))
    done = world.mxmirage.command("inject", *words, "--for", f"{seconds}s")
    if done.returncode != 0:
        raise RuntimeError(f"inject {' '.join(words)}: {done.stderr}")
    time.sleep(seconds)


def flush_conntrack(world: World, _rng: random.Random, _most_s: float) -> None:
    world.lab.run(HOST, "conntrack", "-F")


FAULTS = (
    Fault("kill -9 of the responder", kill_responder, kills=True),
    Fault("kill -9 of the warden", kill_warden, kills=True),
    Fault("kill -9 of both", kill_both, kills=True),
    Fault("nft flush ruleset", flush_ruleset),
    Fault("reload, good file", reload_good),
    Fault("reload, bad file", reload_bad),
    Fault("DNS dead", dns_dead),
    Fault("responder stopped", responder_asleep),
    Fault("warden stopped", warden_asleep),
    Fault("link down and up", link_flap),
    Fault("devices come and go", device_churn),
    Fault("inject", inject),
    Fault("conntrack -F", flush_conntrack),
)


def schedule(rng: random.Random, rounds: int) -> list[Fault | None]:
    """A fault for each round but the first and the last, which have none. The kills share the first fifth of them, so
    that the process that stands at the end has lived long under all the others: its memory is what is judged."""
    killing = [f for f in FAULTS if f.kills]
    other = [f for f in FAULTS if not f.kills]
    faults = rounds - 2
    kills = min(max(len(killing), faults // 5), faults)
    others = _in_turn(rng, other, faults - kills)
    # Sessions that it cuts off stay until the server's patience ends, after five minutes: they would delay the end.
    for at in range(max(0, len(others) - SETTLES_ROUNDS), len(others)):
        if others[at].do is flush_conntrack:
            others[0], others[at] = others[at], others[0]
    return [None, *_in_turn(rng, killing, kills), *others, None]


def _in_turn(rng: random.Random, kinds: list[Fault], count: int) -> list[Fault]:
    """Each kind once before any comes again, in an order that is drawn."""
    drawn: list[Fault] = []
    while len(drawn) < count:
        drawn += rng.sample(kinds, len(kinds))
    return drawn[:count]
