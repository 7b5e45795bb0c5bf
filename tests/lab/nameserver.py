"""The lab's one name server: NSD in `inet`, authoritative for the root and so for all that there is."""

from __future__ import annotations

import subprocess

import zones
from lab import HOST, INET, Lab, wait_until

_CONFIGURATION = """\
server:
    ip-address: {address}
    server-count: 1
    username: ""
    zonesdir: "{directory}"
    database: ""
    pidfile: ""
    xfrdfile: ""
    xfrdir: "{directory}"
    zonelistfile: "{directory}/zone.list"
    hide-version: yes
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "root.zone"
"""


def start_nameserver(lab: Lab) -> subprocess.Popen:
    """Returns once `host` gets an answer."""
    directory = lab.directory / "nsd"
    directory.mkdir()
    (directory / "root.zone").write_text(zones.zone_text())
    configuration = directory / "nsd.conf"
    configuration.write_text(_CONFIGURATION.format(directory=directory, address=zones.NAME_SERVER))
    process = lab.start(INET, "nsd", "-d", "-c", configuration, log=directory / "nsd.log")
    wait_until(lambda: _answers(lab), 10, f"NSD to answer; see {directory}/nsd.log")
    return process


def _answers(lab: Lab) -> bool:
    done = lab.run(HOST, "dig", "+short", "+time=1", "+tries=1", "gmail.com", "MX", check=False)
    return "gmail-smtp-in.l.google.com." in done.stdout
