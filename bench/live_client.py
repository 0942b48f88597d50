"""The pages of `bench/live.py`: many sockets in one process, which notes how old changes come.

A line of JSON comes in with what to open; then `{"stop": null}` for what was heard.
"""

import asyncio
import json
import sys
import time
from array import array
from typing import Any

import websockets


class Page:
    """A socket, and what it was told last of each job."""

    def __init__(self, ages: array) -> None:
        self.ages = ages
        self.statuses: dict[str, str] = {}
        self.frames = 0
        self.is_complete = asyncio.Event()

    async def run(self, uri: str, headers: dict[str, str], said: list[str]) -> None:
        """Hear until cancelled."""
        async with websockets.connect(
            uri, additional_headers=headers, compression=None, open_timeout=120, ping_interval=None
        ) as socket:
            for text in said:
                await socket.send(text)
            if not said:
                self.is_complete.set()
            async for frame in socket:
                self.frames += 1
                for verb, payload in json.loads(frame).items():
                    self._hear(verb, payload)

    def _hear(self, verb: str, payload: Any) -> None:
        if verb == "sync" and payload["complete"]:
            self.is_complete.set()
        if verb not in ("add", "update"):
            return
        for info in payload if isinstance(payload, list) else [payload]:
            if "status" not in info or info.get("type") == "group":
                continue
            self.statuses[info["id"]] = info["status"]
            try:
                self.ages.append(time.time() - float(info["status"]))
            except ValueError:
                continue  # one that no change has set


async def serve(plan: dict[str, Any]) -> None:
    """Open the sockets, say so, and tell what they have heard when that is asked for."""
    ages = array("d")
    pages = [Page(ages) for _ in plan["sockets"]]
    tasks = []
    for page, (uri, headers, said) in zip(pages, plan["sockets"], strict=True):
        tasks.append(asyncio.create_task(page.run(uri, headers, said)))
        # A page after the other, as people come, some at once.
        if len(tasks) % 20 == 0:
            await asyncio.wait_for(page.is_complete.wait(), 120)
    async with asyncio.timeout(120):
        for page in pages:
            await page.is_complete.wait()
    answer({"open": len(pages)})
    while "stop" not in (asked := json.loads(await asyncio.to_thread(sys.stdin.readline))):
        if "begin" in asked:
            del ages[:]
            for page in pages:
                page.frames = 0
        answer({})
    final = asked["stop"] or [{}] * len(pages)
    answer(
        {
            "ages": sorted(ages)[:: max(1, len(ages) // 100_000)],
            "heard": len(ages),
            "frames": sum(page.frames for page in pages),
            "stale": sum(
                any(page.statuses.get(id) != status for id, status in wanted.items())
                for page, wanted in zip(pages, final, strict=True)
            ),
            "gone": sum(task.done() for task in tasks),
        }
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def answer(said: dict[str, Any]) -> None:
    """Say something to who has started this."""
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
