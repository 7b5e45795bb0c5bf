"""lan_server.py SPOOL: a plain SMTP server on port 25 of all addresses, which keeps every message as
SPOOL/N.json: {peer, server, from, to, data}, where data is the text with dots and CRLFs as they came
(the transparent dots taken out). For the excluded network: it must be reached as if mxmirage were not there.
"""

import asyncio
import itertools
import json
import sys
from pathlib import Path

NUMBERS = itertools.count()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    spool = Path(sys.argv[1])
    envelope = {"from": "", "to": []}

    def say(text: str) -> None:
        writer.write(text.encode() + b"\r\n")

    say("220 lan.corp.example ESMTP plain")
    while line := await reader.readline():
        verb, _, argument = line.decode("latin-1").strip().partition(" ")
        match verb.upper():
            case "EHLO" | "HELO" | "RSET" | "NOOP":
                say("250 lan.corp.example")
            case "MAIL":
                envelope = {"from": path_of(argument), "to": []}
                say("250 2.1.0 ok")
            case "RCPT":
                envelope["to"].append(path_of(argument))
                say("250 2.1.5 ok")
            case "DATA":
                say("354 go on")
                data = await body(reader)
                record = {"peer": writer.get_extra_info("peername")[0],
                          "server": writer.get_extra_info("sockname")[0],
                          "data": data.decode("latin-1"), **envelope}
                name = f"{next(NUMBERS)}.json"
                (spool / f".{name}").write_text(json.dumps(record))
                (spool / f".{name}").rename(spool / name)
                say("250 2.0.0 kept")
            case "QUIT":
                say("221 2.0.0 bye")
                break
            case _:
                say("502 5.5.1 not here")
        await writer.drain()
    writer.close()


def path_of(argument: str) -> str:
    return argument.partition("<")[2].partition(">")[0]


async def body(reader: asyncio.StreamReader) -> bytes:
    lines = []
    while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)


async def main() -> None:
    server = await asyncio.start_server(serve, ["0.0.0.0", "::"], 25, limit=1 << 20)
    await server.serve_forever()


asyncio.run(main())
