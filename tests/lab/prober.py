"""prober.py RATE ADDRESS...: opens RATE connections a second to port 25 of the addresses in turn, and takes
the time until each is greeted, until SIGTERM or for five minutes at most; then prints {"greeted",
"failed", "slow", "worst_ms"}, where slow is how many waited longer than 100 ms.

A connection is opened in time, whether or not the ones before it have been greeted.
"""

import asyncio
import itertools
import json
import signal
import sys
import time

LIMIT = 300  # seconds
PATIENCE = 10
SLOW_MS = 100


async def probe(address: str) -> float | None:
    """Milliseconds until the greeting; None without one."""
    began = time.monotonic()
    writer = None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(address, 25)
            line = await reader.readline()
            took = (time.monotonic() - began) * 1000
            writer.write(b"QUIT\r\n")
            await reader.read()
    except (OSError, TimeoutError):
        return None
    finally:
        if writer:
            writer.close()
    return took if line.startswith(b"220 ") else None


async def main() -> None:
    rate, addresses = float(sys.argv[1]), itertools.cycle(sys.argv[2:])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    start = time.monotonic()
    probes = []
    while not stop.is_set() and time.monotonic() - start < LIMIT:
        probes.append(asyncio.create_task(probe(next(addresses))))
        await asyncio.sleep(max(0, start + len(probes) / rate - time.monotonic()))
    times = await asyncio.gather(*probes)
    greeted = [ms for ms in times if ms is not None]
    print(json.dumps({"greeted": len(greeted), "failed": len(times) - len(greeted),
                      "slow": sum(ms > SLOW_MS for ms in greeted), "worst_ms": max(greeted, default=0)}))


asyncio.run(main())
