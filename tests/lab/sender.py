"""sender.py COUNT RATE: a small MTA for the demonstration. It looks up MX and addresses with dig, as an MTA
would, connects to port 25 of what the zone says and sends COUNT messages (0: until SIGTERM), at RATE a
second (0: as fast as it goes), to a realistic mix of domains from all source addresses of the host; with a
COUNT one more goes to the LAN.
Prints {"sent", "deferred", "bounced", "no_connection", "turned_away", "connections", "over_v6"} at its end.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import smtplib
import subprocess
import sys
import time
from collections import Counter
from functools import cache

import zones
from lab import SOURCES_V4, SOURCES_V6

MESSAGES_PER_CONNECTION = 5
CONNECTIONS_PER_BATCH = 20
# Share of recipients that ask for a refusal.
REFUSED = {"tempfail": 0.02, "permfail": 0.01}
STOP = False


def dig(name: str, kind: str) -> list[str]:
    answer = subprocess.run(["dig", "+short", name, kind], capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()


@cache
def exchange_addresses(domain: str) -> list[str]:
    """The addresses of the hosts of the best preference (RFC 5321 5.1)."""
    records = [line.split() for line in dig(domain, "MX")]
    best = min(int(preference) for preference, _ in records)
    hosts = [host for preference, host in records if int(preference) == best]
    return [address for host in hosts for kind in ("A", "AAAA") for address in dig(host, kind)]


def recipient(chance: random.Random, domain: str, number: int) -> str:
    draw = chance.random()
    for local, share in REFUSED.items():
        if draw < share:
            return f"{local}@{domain}"
        draw -= share
    return f"user{number}@{domain}"


def message(chance: random.Random, to: str, number: int) -> str:
    return (f"From: <news@qa.example>\r\nTo: <{to}>\r\nSubject: issue {number}\r\n\r\n"
            + "A line of the newsletter.\r\n" * chance.randint(5, 400))


def refusal_code(refusal: smtplib.SMTPException) -> int:
    if isinstance(refusal, smtplib.SMTPRecipientsRefused):
        code, _ = next(iter(refusal.recipients.values()))
        return code
    return refusal.smtp_code


def session(chance: random.Random, domain: str, numbers: list[int], outcome: Counter[str]) -> list[int]:
    """One connection to a domain's MX, one message for each number. Returns those that are still to be sent:
    behind a 421 they want another connection."""
    address = chance.choice(exchange_addresses(domain))
    source = chance.choice(SOURCES_V6 if ":" in address else SOURCES_V4)
    try:
        smtp = smtplib.SMTP(address, 25, local_hostname="mta.qa.example", timeout=10,
                            source_address=(source, 0))
    except smtplib.SMTPConnectError:
        outcome["connections"] += 1
        outcome["turned_away"] += 1
        return numbers
    except OSError:
        outcome["no_connection"] += len(numbers)
        return []
    outcome["connections"] += 1
    outcome["over_v6"] += ":" in address
    with smtp:
        for place, number in enumerate(numbers, 1):
            to = recipient(chance, domain, number)
            try:
                smtp.sendmail("news@qa.example", [to], message(chance, to, number))
                outcome["sent"] += 1
            except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as refusal:
                code = refusal_code(refusal)
                outcome["deferred" if code < 500 else "bounced"] += 1
                if code == 421:
                    return numbers[place:]
            except (smtplib.SMTPException, OSError):
                outcome["deferred"] += 1
                return numbers[place:]
    return []


def send_to_lan() -> None:
    """To the network that is excluded: its own server is to get it."""
    with smtplib.SMTP(exchange_addresses(zones.LAN_DOMAIN)[0], 25, local_hostname="mta.qa.example", timeout=10) as smtp:
        smtp.sendmail("news@qa.example", [f"colleague@{zones.LAN_DOMAIN}"], "Subject: for the LAN\r\n\r\nHello.\r\n")


def stop(*_: object) -> None:
    global STOP
    STOP = True


def main() -> None:
    count, rate = int(sys.argv[1]), float(sys.argv[2])
    signal.signal(signal.SIGTERM, stop)
    chance = random.Random(25)
    outcome = Counter(sent=0, deferred=0, bounced=0, no_connection=0, turned_away=0, connections=0, over_v6=0)
    numbers = itertools.count()
    while not STOP:
        done = next(numbers)
        left = count - done if count else MESSAGES_PER_CONNECTION
        if left <= 0:
            break
        batch = [done, *itertools.islice(numbers, chance.randrange(min(left, MESSAGES_PER_CONNECTION)))]
        domain = chance.choices([d.name for d in zones.DOMAINS], [d.weight for d in zones.DOMAINS])[0]
        unsent = batch
        for _ in range(CONNECTIONS_PER_BATCH):
            if unsent:
                unsent = session(chance, domain, unsent, outcome)
        outcome["deferred"] += len(unsent)
        if rate:
            time.sleep(len(batch) / rate)
    if count:
        send_to_lan()
    print(json.dumps(outcome))


main()
