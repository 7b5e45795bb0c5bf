"""knock.py RATE ADDRESS...: opens RATE connections a second to port 25 of the addresses in turn, keeps
each for a moment and resets it, until SIGTERM
or for five minutes at most; prints a line when it begins, and at last {"started", "connected", "seconds"}.

A prober has to hit the short moments: it never waits for an answer before it opens the next one.
"""

import errno
import ipaddress
import itertools
import json
import select
import signal
import socket
import struct
import sys
import time
from collections import deque

LIMIT = 300  # seconds
HOLD = 0.1  # seconds that a connection is kept
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Knocker:
    def __init__(self) -> None:
        self.started = self.connected = 0
        self.stop = False
        self._open: deque[tuple[float, socket.socket]] = deque()
        self._poll = select.epoll()

    def knock(self, address: str) -> None:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.started += 1
        if sock.connect_ex((address, 25)) not in (0, errno.EINPROGRESS):
            sock.close()
            return
        self._poll.register(sock, select.EPOLLOUT | select.EPOLLONESHOT)
        self._open.append((time.monotonic() + HOLD, sock))

    def reap(self, now: float) -> None:
        for _, event in self._poll.poll(0):
            if event & select.EPOLLOUT and not event & (select.EPOLLERR | select.EPOLLHUP):
                self.connected += 1
        while self._open and self._open[0][0] <= now:
            self._open.popleft()[1].close()


def main() -> None:
    rate, addresses = float(sys.argv[1]), itertools.cycle(sys.argv[2:])
    knocker = Knocker()

    def stop(*_: object) -> None:
        knocker.stop = True

    signal.signal(signal.SIGTERM, stop)
    print("begun", flush=True)
    start = now = time.monotonic()
    while not knocker.stop and now - start < LIMIT:
        due = int((now - start) * rate)
        for _ in range(min(due - knocker.started, 200)):
            knocker.knock(next(addresses))
        knocker.reap(now)
        time.sleep(0.002)
        now = time.monotonic()
    knocker.reap(now + HOLD)
    print(json.dumps({"started": knocker.started, "connected": knocker.connected, "seconds": now - start}))


main()
