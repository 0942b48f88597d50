"""What pages do, without a browser: a model that has to equal Redis in the end."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import websockets


class Page:
    """What a page does: keeps what the server tells, connects again, compares versions."""

    def __init__(self, address: str, cookie: str, root: str) -> None:
        self._address, self._cookie, self.root = address, cookie, root
        self.infos: dict[str, dict] = {}
        self.snapshots = 0
        self._seen: set[str] | None = None
        # Groups of which more is to be asked for.
        self._cut: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._seen, self._cut = None, set()
            try:
                async with websockets.connect(
                    f"ws://{self._address}/moi-ws/",
                    origin=f"http://{self._address}",
                    additional_headers={"Cookie": f"sessionid={self._cookie}"},
                    open_timeout=3,
                ) as socket:
                    await socket.send(f'{{"watch": ["{self.root}"]}}')
                    async for text in socket:
                        self._hear(text)
                        if self._cut:
                            await socket.send(json.dumps({"more": [self._cut.pop()]}))
            except (OSError, websockets.WebSocketException, TimeoutError):
                await asyncio.sleep(random.uniform(0.05, 0.5))

    def _sync(self, complete: bool) -> None:
        if complete:
            self.infos = {id: self.infos[id] for id in self._seen or () if id in self.infos}
            self.snapshots += 1
        self._seen = None if complete else set()

    def _hear(self, text: str) -> None:
        [(verb, payload)] = json.loads(text).items()
        if verb == "sync":
            self._sync(payload["complete"])
        elif verb == "more":
            group = self.infos.get(payload["group"])
            if group is not None and payload["covered"] < group["size"]:
                self._cut.add(payload["group"])
        elif verb == "remove":
            self.infos.pop(payload["id"], None)
        elif verb in ("add", "update", "get"):
            if self._seen is not None:
                self._seen.add(payload["id"])
            known = self.infos.get(payload["id"])
            if known is None or known["version"] <= payload["version"]:
                self.infos[payload["id"]] = payload


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
