"""bad_nameserver.py ADDRESS: a name server (UDP and TCP) whose answers are as bad as the domain's name says.

The label before "hostile.example" chooses: anything.dead.hostile.example is never answered, and so on by the
table BEHAVIOURS. Every other name is answered as the lab's zone has it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

import zones

A, CNAME, MX, AAAA = 1, 5, 15, 28
KINDS = {4: A, 6: AAAA}
RESPONSE, TRUNCATED, NO_SUCH_NAME, SERVER_FAILURE = 0x8400, 0x0200, 3, 2
UDP_MAX = 1232
TTL = 300


class Question(NamedTuple):
    id: int
    name: str
    kind: int
    wire: bytes  # as it came


class Answer(NamedTuple):
    """What to send, and when; data None: never."""

    data: bytes | None
    delay: float = 0


def encode(name: str) -> bytes:
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def record(owner: str, kind: int, data: bytes) -> bytes:
    return encode(owner) + struct.pack("!HHIH", kind, 1, TTL, len(data)) + data


def mx(owner: str, preference: int, host: str) -> bytes:
    return record(owner, MX, struct.pack("!H", preference) + encode(host))


def message(question: Question, records: list[bytes], flags: int = 0) -> bytes:
    header = struct.pack("!HHHHHH", question.id, RESPONSE | flags, 1, len(records), 0, 0)
    return header + question.wire + b"".join(records)


def parse(data: bytes) -> Question:
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return Question(int.from_bytes(data[:2]), ".".join(labels).lower(), int.from_bytes(data[at + 1:at + 3]),
                    data[12:at + 5])


def from_zone(question: Question) -> Answer:
    """The lab's zone as it is."""
    for domain in zones.DOMAINS:
        if domain.name == question.name:
            found = [mx(domain.name, *exchange) for exchange in domain.exchanges] * (question.kind == MX)
            return Answer(message(question, found))
    if question.name in zones.ADDRESSES:
        return Answer(message(question, addresses(question, zones.ADDRESSES[question.name])))
    return Answer(message(question, [], NO_SUCH_NAME))


def addresses(question: Question, texts: tuple[str, ...]) -> list[bytes]:
    parsed = [ipaddress.ip_address(text) for text in texts]
    return [record(question.name, question.kind, ip.packed) for ip in parsed if KINDS[ip.version] == question.kind]


def never(_: Question) -> Answer:
    return Answer(None)


def google(question: Question, owner: str = "") -> Answer:
    """As a tenant of Google's would be answered."""
    host = "aspmx.l.google.com"
    return Answer(message(question, [mx(owner or question.name, 1, host)] * (question.kind == MX)))


def many(question: Question) -> Answer:
    """100 MX hosts with two addresses each."""
    if question.kind == MX:
        return Answer(message(question, [mx(question.name, n, f"mx{n}.{question.name}") for n in range(100)]))
    number = int(question.name.partition(".")[0].removeprefix("mx")) + 1
    return Answer(message(question, addresses(question, (f"198.51.100.{number}", f"2001:db8:100:ffff::{number:x}"))))


def loop(question: Question) -> Answer:
    """Two CNAMEs that lead to each other."""
    other = f"x-{question.name}"
    return Answer(message(question, [record(question.name, CNAME, encode(other)),
                                     record(other, CNAME, encode(question.name))]))


def chain(question: Question) -> Answer:
    """A CNAME that leads to one more with every question."""
    return Answer(message(question, [record(question.name, CNAME, encode(f"x{question.name}"))]))


def null_mx(question: Question) -> Answer:
    return Answer(message(question, [mx(question.name, 0, "")] * (question.kind == MX)))


def late(seconds: float) -> Callable[[Question], Answer]:
    return lambda question: Answer(google(question).data, seconds)


def wrong_id(question: Question) -> Answer:
    return Answer(google(question._replace(id=question.id ^ 1)).data)


def wrong_question(question: Question) -> Answer:
    return Answer(google(question._replace(wire=encode("else.example") + question.wire[-4:])).data)


def wrong_owner(question: Question) -> Answer:
    return google(question, owner="else.example")


def beyond(question: Question) -> Answer:
    """A record that says it is longer than the message."""
    whole = google(question).data
    return Answer(whole.replace(struct.pack("!IH", TTL, 22), struct.pack("!IH", TTL, 2200)))


def looping_name(question: Question) -> Answer:
    """A host whose name points at itself."""
    offset = 12 + len(question.wire) + len(encode(question.name)) + 10 + 2
    return Answer(message(question, [
        record(question.name, MX, struct.pack("!HH", 1, 0xc000 | offset))]))


def garbage(question: Question) -> Answer:
    return Answer(question.id.to_bytes(2) + bytes(range(256)))


def failing(question: Question) -> Answer:
    return Answer(message(question, [], SERVER_FAILURE))


BEHAVIOURS: dict[str, Callable[[Question], Answer]] = {
    "dead": never,
    "late": late(0.5),
    "too-late": late(4),
    "many": many,
    "loop": loop,
    "chain": chain,
    "null": null_mx,
    "wrong-id": wrong_id,
    "wrong-question": wrong_question,
    "wrong-owner": wrong_owner,
    "beyond": beyond,
    "looping-name": looping_name,
    "garbage": garbage,
    "failing": failing,
}
ZONE = ".hostile.example"


def answer(data: bytes) -> tuple[Question, Answer]:
    question = parse(data)
    behaviour = question.name.removesuffix(ZONE).rpartition(".")[2] if question.name.endswith(ZONE) else ""
    return question, BEHAVIOURS.get(behaviour, from_zone)(question)


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple) -> None:
        question, reply = answer(data)
        if reply.data is None:
            return
        sent = reply.data if len(reply.data) <= UDP_MAX else message(question, [], TRUNCATED)
        if reply.delay:
            asyncio.get_running_loop().call_later(reply.delay, self._transport.sendto, sent, peer)
        else:
            self._transport.sendto(sent, peer)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(2))
            _, reply = answer(await reader.readexactly(size))
            if reply.data is None:
                continue
            await asyncio.sleep(reply.delay)
            writer.write(len(reply.data).to_bytes(2) + reply.data)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    address = sys.argv[1]
    server = await asyncio.start_server(serve, address, 53)
    await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, (address, 53))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
