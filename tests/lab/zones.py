"""The lab's internet as a table: real domains, their real MX names, addresses from documentation ranges.

Every MX host has addresses of its own, so an address tells whose mail went there. Nothing here is
looked up: the table is the truth that the tests compare with.
"""

from __future__ import annotations

from typing import NamedTuple

NAME_SERVER = "203.0.113.53"
BAD_NAME_SERVER = "203.0.113.54"  # bad_nameserver.py

V4 = 4
V6 = 6


class Domain(NamedTuple):
    name: str
    weight: int  # share of a realistic consumer mailing, in tenths of a percent
    families: frozenset[int]
    exchanges: tuple[tuple[int, str], ...]  # preference, host name


BOTH = frozenset((V4, V6))
V4_ONLY = frozenset((V4,))
V6_ONLY = frozenset((V6,))


def _google(preferences: tuple[int, ...], host: str) -> tuple[tuple[int, str], ...]:
    names = [host] + [f"alt{n}.{host}" for n in range(1, len(preferences))]
    return tuple(zip(preferences, names))


DOMAINS: tuple[Domain, ...] = (
    Domain("gmail.com", 300, BOTH, _google((5, 10, 20, 30, 40), "gmail-smtp-in.l.google.com")),
    Domain("yahoo.com", 110, V4_ONLY, ((1, "mta5.am0.yahoodns.net"), (1, "mta6.am0.yahoodns.net"),
                                       (1, "mta7.am0.yahoodns.net"))),
    Domain("hotmail.com", 110, BOTH, ((2, "hotmail-com.olc.protection.outlook.com"),)),
    Domain("outlook.com", 70, BOTH, ((5, "outlook-com.olc.protection.outlook.com"),)),
    Domain("icloud.com", 60, BOTH, ((10, "mx01.mail.icloud.com"), (10, "mx02.mail.icloud.com"))),
    Domain("aol.com", 30, V4_ONLY, ((10, "mx-aol.mail.gm0.yahoodns.net"),)),
    Domain("comcast.net", 30, BOTH, ((5, "mx1a1.comcast.net"), (5, "mx1h1.comcast.net"),
                                     (5, "mx2a1.comcast.net"))),
    Domain("orange.fr", 30, V4_ONLY, ((10, "smtp-in.orange.fr"),)),
    Domain("gmx.net", 35, BOTH, ((10, "mx00.emig.gmx.net"), (10, "mx01.emig.gmx.net"))),
    Domain("web.de", 35, BOTH, ((100, "mx-ha02.web.de"), (100, "mx-ha03.web.de"))),
    Domain("t-online.de", 20, V4_ONLY, ((10, "mx00.t-online.de"), (10, "mx01.t-online.de"),
                                        (10, "mx02.t-online.de"), (10, "mx03.t-online.de"))),
    Domain("qq.com", 40, V4_ONLY, ((10, "mx3.qq.com"), (20, "mx2.qq.com"), (30, "mx1.qq.com"))),
    Domain("163.com", 30, V4_ONLY, ((10, "163mx01.mxmail.netease.com"), (10, "163mx02.mxmail.netease.com"),
                                    (10, "163mx03.mxmail.netease.com"),
                                    (50, "163mx00.mxmail.netease.com"))),
    Domain("laposte.net", 15, V6_ONLY, ((10, "smtpz4.laposte.net"),)),
    Domain("free.fr", 15, V6_ONLY, ((10, "mx1.free.fr"), (20, "mx2.free.fr"))),
    Domain("proton.me", 20, V6_ONLY, ((10, "mail.protonmail.ch"), (20, "mailsec.protonmail.ch"))),
    # Hosted domains: a Google Workspace tenant, a Microsoft 365 tenant, one behind Mimecast.
    Domain("example.com", 20, BOTH, _google((1, 5, 5, 10, 10), "aspmx.l.google.com")),
    Domain("example.org", 20, BOTH, ((0, "example-org.mail.protection.outlook.com"),)),
    Domain("example.net", 10, V4_ONLY, ((10, "eu-smtp-inbound-1.mimecast.com"),
                                        (10, "eu-smtp-inbound-2.mimecast.com"))),
)

# What else a traffic generator sends to by default, and who takes it.
FURTHER = {
    "bellsouth.net": "mx-aol.mail.gm0.yahoodns.net",
    "live.com": "outlook-com.olc.protection.outlook.com",
    "me.com": "mx01.mail.icloud.com",
    "msn.com": "hotmail-com.olc.protection.outlook.com",
    "sbcglobal.net": "mx-aol.mail.gm0.yahoodns.net",
}
# Domains that such generators append to all others, and the host that takes the mail for every name below them.
SUFFIXES = ("testingdomain.tld", "mx-sink.wezfurlong.org")
SUFFIX_HOST, SUFFIX_ADDRESS = "mx.testingdomain.tld", "198.51.100.250"

# On the LAN: what the configuration excludes from the start, and what a reload excludes later.
LAN_DOMAIN = "corp.example"
LAN_ADDRESSES = ("192.0.2.140", "2001:db8:0:2::140")
LAN_EXCLUDE = ("192.0.2.128/26", "2001:db8:0:2::/64")
BRANCH_DOMAIN = "branch.example"
BRANCH_ADDRESS = "192.0.2.210"
BRANCH_EXCLUDE = "192.0.2.192/26"


def _addresses() -> dict[str, tuple[str, ...]]:
    hosts: dict[str, tuple[str, ...]] = {}
    for domain in DOMAINS:
        for _, host in domain.exchanges:
            number = len(hosts) + 1
            v4 = f"198.51.100.{number}" if number % 2 else f"203.0.113.{number + 100}"
            chosen = []
            if V4 in domain.families:
                chosen.append(v4)
            if V6 in domain.families:
                chosen.append(f"2001:db8:100:{number:x}::19")
            hosts[host] = tuple(chosen)
    hosts[f"relay.{LAN_DOMAIN}"] = LAN_ADDRESSES
    hosts[f"relay.{BRANCH_DOMAIN}"] = (BRANCH_ADDRESS,)
    hosts[SUFFIX_HOST] = (SUFFIX_ADDRESS,)
    return hosts


ADDRESSES: dict[str, tuple[str, ...]] = _addresses()


def domain_addresses(name: str) -> frozenset[str]:
    """Every address that mail for a domain of the table may be sent to."""
    domain = next(d for d in DOMAINS if d.name == name)
    return frozenset(a for _, host in domain.exchanges for a in ADDRESSES[host])


def internet_addresses() -> list[str]:
    """Every MX address beyond the LAN."""
    return [a for d in DOMAINS for _, host in d.exchanges for a in ADDRESSES[host]]


def zone_text() -> str:
    """One root zone: all names at once, and a plain answer "no such name" for every other."""
    lines = [
        "$ORIGIN .",
        "$TTL 300",
        ". IN SOA ns.lab.example. hostmaster.lab.example. 1 3600 600 86400 5",
        ". IN NS ns.lab.example.",
        f"ns.lab.example. IN A {NAME_SERVER}",
    ]
    for domain in DOMAINS:
        for preference, host in domain.exchanges:
            lines.append(f"{domain.name}. IN MX {preference} {host}.")
    for name in (LAN_DOMAIN, BRANCH_DOMAIN):
        lines.append(f"{name}. IN MX 10 relay.{name}.")
    lines += [f"{name}. IN MX 10 {host}." for name, host in FURTHER.items()]
    lines += [f"*.{suffix}. IN MX 10 {SUFFIX_HOST}." for suffix in SUFFIXES]
    for host, addresses in ADDRESSES.items():
        for address in addresses:
            lines.append(f"{host}. IN {'AAAA' if ':' in address else 'A'} {address}")
    return "\n".join(lines) + "\n"
