"""A web server in a process of the tests, which many of them start and stop."""

import asyncio
import socket

import uvicorn

# Seconds between two looks at whether there is an end; uvicorn takes ten times as long, and waits
# four times for one that is stopped.
PAUSE = 0.01


class SiteServer(uvicorn.Server):
    """Serves until it is told to end, and then until all connections and what they began have."""

    async def main_loop(self) -> None:
        """Look as often as tests want it."""
        while not await self.on_tick(0):  # noqa: ASYNC110 - others set what it looks at
            await asyncio.sleep(PAUSE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait as uvicorn does, and no longer."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        state = self.server_state
        while state.connections or state.tasks:  # noqa: ASYNC110 - as above
            await asyncio.sleep(PAUSE)
        for server in self.servers:
            await server.wait_closed()
