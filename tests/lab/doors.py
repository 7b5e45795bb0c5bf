"""doors.py PORT...: accepts on these ports of all addresses and greets: shows whether a way is open."""

import asyncio
import sys


async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 door\r\n")
    try:
        await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main() -> None:
    for port in sys.argv[1:]:
        await asyncio.start_server(greet, None, int(port), reuse_address=True, backlog=4096)
    print("open", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
