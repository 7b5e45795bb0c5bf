"""demo.py BINARY [--once | --shell]: mxmirage at work in a small world of its own, without Postfix.

A host, a LAN and an internet in network namespaces; a name server with real provider names; mxmirage on
the host; a sender of a few hundred messages. Prints what happened and how to look further, then stays
up with a trickle of mail until Ctrl-C. --once: ends after the report. --shell: a shell on that host.
Nothing outside the namespaces is touched, and nothing remains.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import zones
from lab import HOST, SOURCES_V4, SOURCES_V6, LabError
from world import World

MESSAGES = 400
TRICKLE = 5  # messages a second
HOSTED = "example.com"  # by Google


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")


def show(world: World, *argv: str, lines: int = 60) -> None:
    """A verb's output as its user sees it, so many lines of it at most."""
    heading(f"mxmirage {' '.join(argv)}")
    done = world.mxmirage.command(*argv)
    shown = (done.stdout + done.stderr).rstrip().splitlines()
    width = shutil.get_terminal_size((120, 24)).columns
    print("\n".join(line if len(line) <= width else f"{line[:width - 1]}…" for line in shown[:lines]))
    if len(shown) > lines:
        print(f"… and {len(shown) - lines} lines more")
    if done.returncode != 0:
        raise LabError(f"mxmirage {' '.join(argv)}: exit {done.returncode}")


def describe(world: World) -> None:
    hosts = {host for d in zones.DOMAINS for _, host in d.exchanges}
    heading("A host, a LAN and a small internet, in network namespaces of their own")
    print(f"host      {world.lab.name(HOST)}: mxmirage and a sender with {len(SOURCES_V4)} IPv4 and "
          f"{len(SOURCES_V6)} IPv6 addresses")
    print(f"internet  name server {zones.NAME_SERVER}: {len(zones.DOMAINS)} domains, {len(hosts)} MX hosts, "
          f"{len(zones.internet_addresses())} addresses, with the providers' real names")
    print(f"LAN       {' and '.join(zones.LAN_EXCLUDE)}, excluded: mail for {zones.LAN_DOMAIN} reaches its own server")
    print("witness   saw a packet to port 25 of an MX before mxmirage started; it sees every one that leaves")


def send(world: World) -> dict:
    """A mailing to the internet, and one message to the LAN. Returns the sender's own counts."""
    heading(f"Sending {MESSAGES} messages, by MX lookup, to port 25 of what the zone says")
    sender = world.lab.start_python(HOST, "sender.py", str(MESSAGES), "0",
                                    stdout=subprocess.PIPE, text=True)
    output, _ = sender.communicate(timeout=120)
    if sender.returncode != 0:
        raise LabError("the sender failed; its message is above")
    result = json.loads(output)
    print("the sender says: {sent} sent, {deferred} deferred, {bounced} bounced, "
          "over {connections} connections ({over_v6} by IPv6)".format(**result))
    arrived = len(world.lan_mail())
    print(f"and {arrived} message for {zones.LAN_DOMAIN}, which reached the LAN's own server")
    if arrived != 1:
        raise LabError(f"{arrived} messages at the LAN's server instead of 1")
    return result


def witness(world: World) -> None:
    seen = world.oracle.seen()
    heading("The witness on the internet's side of the wire")
    print(f"packets for port 25 that left the host: {sum(seen.values())}")
    if seen:
        raise LabError(f"not leak-proof: {seen}")


def look_further(world: World) -> None:
    file = shlex.quote(str(world.mxmirage.file))
    enter = f"ip netns exec {world.lab.name(HOST)}"
    binary = shlex.quote(str(world.mxmirage.binary))
    heading("Look further, from another terminal, as root")
    for command in (f"{binary} providers -c {file}", f"{binary} replies google -c {file}",
                    f"{binary} explain someone@{HOSTED} -c {file}",
                    f"{binary} inject -c {file} --domain gmail.com --count 3 421 4.7.28 'Slow down'",
                    "nft list ruleset", f"dig +short gmail.com MX @{zones.NAME_SERVER}"):
        print(f"  {enter} {command}")
    print(f"  tail -f {world.mxmirage.log_file}")


def trickle(world: World) -> None:
    """Goes on sending until Ctrl-C, or until the daemon ends by itself."""
    heading(f"Sending on, {TRICKLE} messages a second. Ctrl-C ends all of it and leaves nothing behind.")
    world.lab.start_python(HOST, "sender.py", "0", str(TRICKLE), stdout=subprocess.DEVNULL)
    while world.mxmirage.process.poll() is None:
        time.sleep(0.5)
    raise LabError(f"mxmirage ended by itself:\n{world.mxmirage.log()}")


def shell(world: World) -> None:
    heading("A shell on the lab's host. `exit` ends the lab.")
    environment = os.environ | {"MXMIRAGE_CONFIG": str(world.mxmirage.file),
                                "PATH": f"{world.mxmirage.binary.parent}:{os.environ['PATH']}"}
    print(f'try:  dig +short gmail.com MX;  mxmirage explain someone@{HOSTED} -c "$MXMIRAGE_CONFIG"')
    # Ctrl-C is for what runs in the shell.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    subprocess.run(world.lab.command(HOST, os.environ.get("SHELL", "/bin/sh")), env=environment, check=False,
                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    signal.signal(signal.SIGINT, previous)


def report(world: World) -> None:
    describe(world)
    result = send(world)
    world.mxmirage.wait_idle()
    for argv in (("status",), ("providers",), ("domains",), ("destinations", "-n", "8")):
        show(world, *argv)
    show(world, "explain", f"someone@{HOSTED}", "--from", SOURCES_V4[0], lines=24)
    witness(world)
    counted = world.mxmirage.status()
    ours = *(counted["messages"][k] for k in ("accepted", "tempfail", "permfail")), counted["connections"]["total"]
    if ours != tuple(result[k] for k in ("sent", "deferred", "bounced", "connections")):
        raise LabError(f"the sender's counts and the daemon's differ: {result}, {counted}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--once", action="store_true", help="end after the report")
    mode.add_argument("--shell", action="store_true", help="a shell on the lab's host")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    try:
        with World(options.binary.resolve(), with_postfix=False, mode="smart") as world:
            if options.shell:
                describe(world)
                shell(world)
                return 0
            report(world)
            if not options.once:
                look_further(world)
                trickle(world)
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nthe lab is gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
