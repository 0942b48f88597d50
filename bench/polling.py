"""How many pages a server process has room for when each asks again and again how its job is.

    python bench/polling.py [--pages N] [--every S] [--seconds S]

The pages are those of celery-progress, which ask every half a second.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from array import array
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


async def ask(port: int, task: str, every: float, ends: float, ages: array) -> None:
    """Ask for a task as a page does, from now on, and note how long the answers took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (begun := time.monotonic()) < ends:
        writer.write(f"GET /{task}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        ages.append(time.monotonic() - begun)
        await asyncio.sleep(max(0.0, begun + every - time.monotonic()))
    writer.close()


async def ask_for_all(port: int, options: argparse.Namespace) -> array:
    """Return how long all answers took, to pages that begin one after the other."""
    ages, asking = array("d"), []
    ends = time.monotonic() + options.every + options.seconds
    for number in range(options.pages):
        asking.append(asyncio.create_task(ask(port, f"task-{number}", options.every, ends, ages)))
        await asyncio.sleep(options.every / options.pages)
    await asyncio.gather(*asking)
    return ages


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    from moi_django.contrib.services.embedded_redis import EmbeddedRedis

    with (
        EmbeddedRedis() as redis,
        socket.create_server(("127.0.0.1", 0), backlog=2048) as listening,
    ):
        os.environ["MOI_REDIS_URL"] = redis.url.replace("unix://", "redis+socket://")
        from peer_programs.polling_site import app

        for number in range(options.pages):
            app.backend.store_result(f"task-{number}", {"current": 1, "total": 9}, "PROGRESS")
        command = [sys.executable, "-m", "uvicorn", "--fd", str(listening.fileno())]
        command += ["--log-level", "warning", "bench.peer_programs.polling_site:application"]
        number = listening.fileno()
        server = subprocess.Popen(command, pass_fds=[number], cwd=ROOT)
        try:
            time.sleep(3)
            ages = sorted(asyncio.run(ask_for_all(listening.getsockname()[1], options)))
        finally:
            server.terminate()
            server.wait()
    p50, p99 = (ages[int(len(ages) * share)] * 1000 for share in (0.5, 0.99))
    print(
        f"{options.pages} pages every {options.every} s: {len(ages) / options.seconds:,.0f} "
        f"answers/s after p50 {p50:,.1f} ms, p99 {p99:,.1f} ms"
    )


if __name__ == "__main__":
    main()
