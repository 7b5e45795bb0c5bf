"""canary.py ADDRESS...: sends each address what the oracle must see: a connection to port 25, one from
port 25, and a datagram that needs fragments. Only for the lab's namespaces."""

import ipaddress
import socket
import sys


def knock(family: int, address: str, port: int, source_port: int = 0) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(2)
        sock.bind(("", source_port))
        try:
            sock.connect((address, port))
        except OSError:
            pass  # nobody listens there: what counts is that the SYN was sent


def main() -> None:
    for address in sys.argv[1:]:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        knock(family, address, 25)
        knock(family, address, 9, source_port=25)
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.sendto(bytes(4000), (address, 9))


main()
