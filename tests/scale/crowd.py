"""crowd.py connections COUNT SOURCES | recipients COUNT: in the lab's host, COUNT connections to as many addresses, from
SOURCES addresses in turn, each kept until it is greeted; or mail to COUNT domains, a hundred in each message. Prints
{"seconds", "greeted", "accepted"}."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys
import time

AT_ONCE = 400
IPV6_FREEBIND = 78
RESET = struct.pack("ii", 1, 0)
FIRST_SOURCE = int(ipaddress.ip_address("2001:db8:0:3::1"))
FIRST_DESTINATION = int(ipaddress.ip_address("2001:db8:100::1:0:0"))
MX = "198.51.100.250"
RECIPIENTS = 100


def address(first: int, n: int) -> str:
    return str(ipaddress.IPv6Address(first + n))


def domain(n: int) -> str:
    """Half of them with the suffix that a generator appends by default."""
    return f"d{n}.mx-sink.example" if n % 2 else f"customer-{n}.example"


def connections(count: int, sources: int) -> dict:
    greeted = 0
    for first in range(0, count, AT_ONCE):
        clients = []
        for n in range(first, min(first + AT_ONCE, count)):
            client = socket.socket(socket.AF_INET6)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            client.settimeout(20)
            client.bind((address(FIRST_SOURCE, n % sources), 0))
            client.connect((address(FIRST_DESTINATION, n), 25))
            clients.append(client)
        for client in clients:
            greeted += client.recv(512).startswith(b"220 ")
            client.close()
    return {"greeted": greeted}


def recipients(count: int) -> dict:
    accepted = 0
    with socket.create_connection((MX, 25), timeout=20) as client, client.makefile("rb") as replies:
        replies.readline()
        client.sendall(b"HELO crowd.example\r\n")
        replies.readline()
        for first in range(0, count, RECIPIENTS):
            names = [domain(n) for n in range(first, min(first + RECIPIENTS, count))]
            client.sendall(b"".join([b"MAIL FROM:<a@crowd.example>\r\n",
                                     *(f"RCPT TO:<b@{name}>\r\n".encode() for name in names),
                                     b"DATA\r\n", b"Subject: many\r\n\r\n.\r\n"]))
            codes = [replies.readline()[:3] for _ in range(len(names) + 3)]
            accepted += len(names) * (codes == [b"250"] * (len(names) + 1) + [b"354", b"250"])
    return {"accepted": accepted}


def main() -> None:
    start = time.monotonic()
    kind, *numbers = sys.argv[1:]
    done = {"connections": connections, "recipients": recipients}[kind](*map(int, numbers))
    print(json.dumps({"seconds": time.monotonic() - start, **done}))


main()
