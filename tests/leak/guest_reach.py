"""reach.py SECONDS ADDRESS/PORT...: connects to each at once and prints, a line each, the first line that it said,
or why there was none."""

import asyncio
import sys


async def reach(target: str, seconds: float) -> str:
    address, _, port = target.rpartition("/")
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(address, int(port))
            line = await reader.readline()
            writer.close()
            return line.decode("latin-1").strip() or "closed"
    except TimeoutError:
        return "time-out"
    except OSError as error:
        return type(error).__name__


async def main() -> None:
    for line in await asyncio.gather(*(reach(target, float(sys.argv[1])) for target in sys.argv[2:])):
        print(line)


asyncio.run(main())
