"""hostile.py SOURCE...: badly behaved clients from these addresses to port 25 of addresses all over the internet, until
SIGTERM; then prints {"clients", "accepted", "in_doubt", "kinds"}: how many of their messages were accepted as far as
they saw, and how many they did not wait to see.

None of them is fast: they are there all the time, beside the load.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import zones  # noqa: E402 (found by the line above)

AT_ONCE = 60
PAUSE_S = 1.5  # of a client between two connections, on the average
PATIENCE_S = 30
RESET = struct.pack("ii", 1, 0)
V4 = [f"{net}.{n}" for net in ("198.51.100", "203.0.113") for n in range(1, 200)]
V6 = [f"2001:db8:100:{n:x}::19" for n in range(1, 60)]
HELLO = b"EHLO hostile.example\r\n"
DOMAIN = f"hostile.{zones.SUFFIXES[0]}"
ENVELOPE = HELLO + b"MAIL FROM:<a@hostile.example>\r\nRCPT TO:<b@nobody.example>\r\n"

counts: Counter[str] = Counter()
kinds: Counter[str] = Counter()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> int:
        """Code of the next whole reply; 0 where the other side has closed."""
        while line := await self.reader.readline():
            if line[3:4] != b"-":
                return int(line[:3])
        return 0

    async def to_the_end(self) -> None:
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


async def garbage(client: Client) -> None:
    await client.say(os.urandom(random.randrange(1, 20000)) + b"\r\n")
    await client.to_the_end()


async def web(client: Client) -> None:
    """Rows 34 and 35: nothing of the body is a command."""
    await client.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n" + ENVELOPE + b"DATA\r\n\r\n.\r\n")
    await client.to_the_end()


async def early(client: Client) -> None:
    """Row 14."""
    await client.say(ENVELOPE)
    await client.to_the_end()


async def slow(client: Client) -> None:
    """Row 47."""
    for byte in ENVELOPE + b"DATA\r\nSubject":
        await client.say(bytes([byte]))
        await asyncio.sleep(random.uniform(0.1, 0.5))
    client.reset()


async def half_open(client: Client) -> None:
    """Row 45."""
    await client.reply()
    client.writer.write(HELLO)
    client.writer.write_eof()
    await client.to_the_end()


async def endless_line(client: Client) -> None:
    """Row 22."""
    await client.reply()
    for _ in range(16):
        await client.say(b"x" * 65536)
    await client.to_the_end()


async def vanish(client: Client) -> None:
    """Resets anywhere, also in the middle of a text."""
    await client.reply()
    told = ENVELOPE + b"DATA\r\n" + b"a line\r\n" * 200
    await client.say(told[:random.randrange(len(told))])
    await asyncio.sleep(random.choice((0, 0.01, 0.5)))
    client.reset()


async def deaf(client: Client) -> None:
    """Never reads a reply."""
    client.writer.transport.pause_reading()
    try:
        async with asyncio.timeout(random.uniform(2, 15)):
            for _ in range(200):
                await client.say(HELLO * 200)
    finally:
        client.reset()


async def smuggler(client: Client) -> None:
    """Rows 1 to 11: one message, refused for its line ends."""
    end = random.choice((b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"))
    await whole_message(client, b"text" + end + ENVELOPE + b"DATA\r\nsecond\r\n.\r\nQUIT\r\n")


async def crowd(client: Client) -> None:
    """Row 32."""
    await client.reply()
    client.writer.write(ENVELOPE + b"RCPT TO:<c@nobody.example>\r\n" * 5000)
    await client.to_the_end()


async def chunks(client: Client) -> None:
    """Rows 37 to 40, and a chunk that ends before it is whole."""
    await client.reply()
    await client.say(ENVELOPE + random.choice((b"BDAT 18446744073709551616\r\n", b"BDAT -1\r\n", b"BDAT 10\r\nabc",
                                               b"BDAT 4\r\nab\r\nDATA\r\n", b"BDAT 100000 LAST\r\n" + b"y" * 5000)))
    await asyncio.sleep(0.5)
    client.reset()


async def tls(client: Client) -> None:
    """Row 44."""
    await client.reply()
    await client.say(b"STARTTLS\r\n" + b"\x16\x03\x01\x02\x00\x01" + os.urandom(500))
    await client.to_the_end()


async def nonsense(client: Client) -> None:
    """Rows 24 to 33."""
    await client.reply()
    commands = (b"MAIL FROM:<a\0b@c>\r\n", b"EHLO a\0b\r\n", b"MAIL FROM:<a@b> SIZE=99999999999999999999\r\n", b"DATA\r\n",
                b"MAIL FROM:<a@b> BODY=FOO\r\n", b"RCPT TO:<>\r\n", b"x" * 2000 + b"\r\n", b"\xff\xfe\r\n", b"a\rb\r\n")
    client.writer.write(b"".join(random.choice(commands) for _ in range(200)))
    await client.to_the_end()


async def idle(client: Client) -> None:
    await client.reply()
    await asyncio.sleep(random.uniform(5, PATIENCE_S))


async def long_line(client: Client) -> None:
    """Row 23: odd, and fine."""
    await whole_message(client, b"z" * 100000 + b"\r\n.\r\n")


async def whole_message(client: Client, text: bytes) -> None:
    await client.reply()
    for command, good in ((HELLO, 250), (b"MAIL FROM:<a@hostile.example>\r\n", 250),
                          (f"RCPT TO:<b@{DOMAIN}>\r\n".encode(), 250), (b"DATA\r\n", 354)):
        await client.say(command)
        if await client.reply() != good:
            return
    counts["in_doubt"] += 1
    await client.say(text)
    code = await client.reply()
    if code:
        counts["in_doubt"] -= 1
        counts["accepted"] += code == 250
    await client.to_the_end()


KINDS: tuple[Callable[[Client], Awaitable[None]], ...] = (
    garbage, web, early, slow, half_open, endless_line, vanish, deaf, smuggler, crowd, chunks, tls, nonsense, idle,
    long_line)


async def one(sources: list[str]) -> None:
    kind = random.choice(KINDS)
    source = random.choice(sources)
    address = random.choice(V6 if ":" in source else V4 + [zones.SUFFIX_ADDRESS] * len(V4))
    reader, writer = await asyncio.open_connection(address, 25, local_addr=(source, 0), limit=1 << 20)
    kinds[kind.__name__] += 1
    try:
        await kind(Client(reader, writer))
    finally:
        writer.transport.abort()


async def again_and_again(sources: list[str]) -> None:
    while True:
        await asyncio.sleep(random.expovariate(1 / PAUSE_S))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await one(sources)
        except (OSError, TimeoutError, ValueError):
            pass  # closed, refused, or no SMTP at all: what they are here for


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clients = [asyncio.create_task(again_and_again(sys.argv[1:])) for _ in range(AT_ONCE)]
    await stop.wait()
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    print(json.dumps({"clients": sum(kinds.values()), "kinds": kinds, "accepted": counts["accepted"],
                      "in_doubt": counts["in_doubt"]}))


asyncio.run(main())
