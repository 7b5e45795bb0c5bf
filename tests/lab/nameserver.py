"""The lab's name servers in `inet`: NSD, authoritative for the root and so for all that there is; and for
tests that ask for it one that answers badly."""

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
    wait_until(lambda: _answers(lab, zones.NAME_SERVER), 60, f"NSD to answer; see {directory}/nsd.log")
    return process


def start_bad_nameserver(lab: Lab) -> subprocess.Popen:
    """Beside the good one, for those who are told to ask it."""
    log = lab.directory / "bad_nameserver.log"
    process = lab.start_python(INET, "bad_nameserver.py", zones.BAD_NAME_SERVER, log=log)
    wait_until(lambda: _answers(lab, zones.BAD_NAME_SERVER), 60, f"the bad name server to answer; see {log}")
    return process


def _answers(lab: Lab, server: str) -> bool:
    done = lab.run(HOST, "dig", "+short", "+time=1", "+tries=1", f"@{server}", "gmail.com", "MX", check=False)
    return "gmail-smtp-in.l.google.com." in done.stdout
