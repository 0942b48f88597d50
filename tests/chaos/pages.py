"""What pages do, without a browser: a model that has to equal Redis in the end."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import websockets


class Page:
    """What a page does: keeps what the server tells, connects again, compares versions."""

    def __init__(self, address: str, cookie: str, root: str) -> None:
        self._address, self._cookie, self.root = address, cookie, root
        self.infos: dict[str, dict] = {}
        self.snapshots = 0
        # As a script of ours, or as one of moi 0.2.
        self._query = random.choice(["", "?lists=1"])
        self._seen: set[str] | None = None
        # Whether it was told what has changed of what it does not know.
        self._is_behind = False
        # How many members of a group the server sends, and groups of which more is to be asked for.
        self._covered: dict[str, int] = {}
        self._cut: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._seen, self._covered, self._cut = None, {}, set()
            try:
                async with websockets.connect(
                    f"ws://{self._address}/moi-ws/{self._query}",
                    origin=f"http://{self._address}",
                    additional_headers={"Cookie": f"sessionid={self._cookie}"},
                    open_timeout=3,
                ) as socket:
                    await socket.send(f'{{"watch": ["{self.root}"]}}')
                    async for text in socket:
                        [(verb, payload)] = json.loads(text).items()
                        for each in payload if isinstance(payload, list) else [payload]:
                            self._hear(verb, each)
                        if self._is_behind:
                            await socket.send(f'{{"watch": ["{self.root}"]}}')
                            self._is_behind = False
                        if self._cut:
                            await socket.send(json.dumps({"more": [self._cut.pop()]}))
            except (OSError, websockets.WebSocketException, TimeoutError):
                await asyncio.sleep(random.uniform(0.05, 0.5))

    def _sync(self, complete: bool) -> None:
        if complete:
            self.infos = {id: self.infos[id] for id in self._seen or () if id in self.infos}
            self.snapshots += 1
        self._seen = None if complete else set()

    def _hear(self, verb: str, payload: Any) -> None:
        if verb == "sync":
            self._sync(payload["complete"])
        elif verb == "more":
            self._covered[payload["group"]] = payload["covered"]
            self._look_for_more(payload["group"])
        elif verb == "remove":
            self.infos.pop(payload["id"], None)
        elif verb in ("add", "update", "get"):
            if self._seen is not None:
                self._seen.add(payload["id"])
            self._take_in(payload, payload.pop("since", None))

    def _take_in(self, info: dict, since: int | None) -> None:
        known = self.infos.get(info["id"])
        if known is not None and known["version"] > info["version"]:
            return
        if since is None:
            self.infos[info["id"]] = info
        elif known is not None and known["version"] == since:
            self.infos[info["id"]] = known | info
        else:
            self._is_behind = True
        self._look_for_more(info["id"])

    def _look_for_more(self, group: str) -> None:
        """Ask for more of a group that has more members than are sent, or has by now."""
        covered = self._covered.get(group)
        if covered is not None and covered < self.infos.get(group, {}).get("size", 0):
            self._cut.add(group)


@contextmanager
def watching(pages: list[Page]) -> Iterator[None]:
    """Let pages watch from a thread beside this one."""

    async def watch(started: list) -> None:
        stop = asyncio.Event()
        started += [asyncio.get_running_loop(), stop]
        tasks = [asyncio.create_task(page.run()) for page in pages]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    started: list = []
    thread = threading.Thread(target=lambda: asyncio.run(watch(started)))
    thread.start()
    try:
        yield
    finally:
        loop, stop = started
        loop.call_soon_threadsafe(stop.set)
        thread.join()
