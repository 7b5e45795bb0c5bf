"""peers.py PORT...: answers "220 peer" on these ports of every address of its host, until it is killed."""

import asyncio
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(b"220 peer\r\n")
        await asyncio.wait_for(reader.read(), 60)
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()


async def main() -> None:
    servers = [await asyncio.start_server(serve, "::", int(port), backlog=1000) for port in sys.argv[1:]]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
