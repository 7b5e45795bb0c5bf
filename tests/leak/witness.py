"""The oracle of the leak campaign: the lab's, which counts more kinds, on more devices, and keeps a capture.

What counts is what the kernel counted at netdev ingress of the internet's namespace. The capture, a packet
socket on all devices there, tells which probe a frame belongs to, and is kept where something arrived.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from pathlib import Path

from lab import INET, Lab
from nft import Nft
from oracle import table_text

WIRE = "wire"  # a bridge of the internet's side: devices that come and go end here
REWRITTEN_PORT = 2525  # where foreign rules take port 25 to

_TCP_FRAGMENT = "ip protocol tcp ip frag-off & 0x3fff != 0"
MATCHES = {
    "v4_to_port_25": "meta protocol ip ip daddr != @allowed4 tcp dport 25",
    "v6_to_port_25": "meta protocol ip6 ip6 daddr != @allowed6 tcp dport 25",
    "v4_from_port_25": "meta protocol ip ip daddr != @allowed4 tcp sport 25",
    "v6_from_port_25": "meta protocol ip6 ip6 daddr != @allowed6 tcp sport 25",
    "rewritten_port_25": f"tcp dport {REWRITTEN_PORT}",
    "v4_tcp_fragments": f"meta protocol ip {_TCP_FRAGMENT}",
    "v6_tcp_fragments": "meta protocol ip6 frag nexthdr != udp",
    "tagged_frames": "ether type vlan",
}
_SETS = "\tset allowed4 { type ipv4_addr; }\n\tset allowed6 { type ipv6_addr; }\n"
_KEPT_FRAMES = 20_000
_ALL_PROTOCOLS = 0x0003
_PCAP_HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


class Witness:
    """devices: where the kernel counts."""

    def __init__(self, lab: Lab, devices: tuple[str, ...] = ("host", WIRE)) -> None:
        self._nft = Nft(lab, INET)
        self._nft(table_text(MATCHES, devices, _SETS))
        with lab.inside(INET):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.setblocking(False)
        self._frames: list[tuple[float, str, bytes]] = []
        self._stop = False
        self._thread = threading.Thread(target=self._capture, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop = True
        self._thread.join()
        self._socket.close()
        self._nft.close()

    def allow(self, *addresses: str) -> None:
        """Packets for port 25 of these, and from it to these, may arrive: their network is excluded."""
        for name, chosen in (("allowed4", [a for a in addresses if ":" not in a]),
                             ("allowed6", [a for a in addresses if ":" in a])):
            self._nft(f"flush set netdev oracle {name}")
            if chosen:
                self._nft(f"add element netdev oracle {name} {{ {', '.join(chosen)} }}")

    def reset(self) -> None:
        self._nft("reset counters table netdev oracle")
        self._take()
        self._frames.clear()

    def seen(self) -> dict[str, int]:
        """What arrived since the last reset and should not have: empty when all is well."""
        return {name: packets for name, packets in self._counts().items() if packets and name in MATCHES}

    def _counts(self) -> dict[str, int]:
        return {entry["counter"]["name"]: entry["counter"]["packets"]
                for entry in self._nft.json("list counters table netdev oracle") if "counter" in entry}

    def _capture(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not self._stop:
            if poll.poll(50):
                self._take()

    def _take(self) -> None:
        """No more than is kept at a time: a storm has no end."""
        for _ in range(_KEPT_FRAMES):
            try:
                data, (device, _, kind, *_) = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            if kind != socket.PACKET_OUTGOING and device != "lo" and len(self._frames) < _KEPT_FRAMES:
                self._frames.append((time.time(), device, data))

    def captured(self) -> list[tuple[float, str, bytes]]:
        """(when, device, frame) of all that arrived since the last reset, on whatever device."""
        self._take()
        return list(self._frames)

    def missing(self, addresses: list[str]) -> list[str]:
        """Those of these destinations that no captured frame names."""
        frames = [data for _, _, data in self.captured()]
        return [a for a in addresses if not any(_packed(a) in frame for frame in frames)]

    def save(self, path: Path) -> None:
        """The capture as a file for tcpdump and Wireshark."""
        path.parent.mkdir(parents=True, exist_ok=True)
        records = [struct.pack("=IIII", int(when), int(when % 1 * 1e6), len(data), len(data)) + data
                   for when, _, data in self.captured()]
        path.write_bytes(_PCAP_HEADER + b"".join(records))


def _packed(address: str) -> bytes:
    if address.startswith("::ffff:"):
        address = address[7:]
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
