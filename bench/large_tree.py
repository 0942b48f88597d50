"""What a tree of many jobs costs a page, beside one of few.

    python bench/large_tree.py [jobs] [rounds]

Prints the medians of the first paint on the server, of a snapshot over a websocket, and of the
answer that another page of the same server gets while that snapshot is made.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import websockets
from services import running_services

FEW = 50


def main(jobs: int, rounds: int) -> None:
    """Start Redis and a server, measure, print."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with running_services() as redis_url:
        from django.core.management import call_command

        from tests.helpers.processes import free_port, site_process

        call_command("migrate", verbosity=0)
        port = free_port()
        names = {"few": FEW, "many": jobs}
        users = {name: user_with(name, number) for name, number in names.items()}
        with site_process(port, MOI_REDIS_URL=redis_url):
            report(asyncio.run(measure(port, users, rounds)), jobs)


def user_with(name: str, jobs: int) -> tuple:
    """Return a user with so many jobs in a group, and the cookie and root of the user."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from moi_django import Group
    from moi_django.site_store import get_store
    from tests.helpers.records import job_in

    user = get_user_model().objects.create_user(name)
    group = Group.create(user, "a sweep")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: job_in(get_store(), group, f"job {n}"), range(jobs)))
    client = Client()
    client.force_login(user)
    return user, client.cookies["sessionid"].value, Group.of(user).id


async def measure(port: int, users: dict, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each round of each measure."""
    from moi_django.pages.status_div import build_status_div

    times: dict[str, list[float]] = {}

    def note(name: str, begun: float) -> None:
        times.setdefault(name, []).append((time.perf_counter() - begun) * 1000)

    async with connected(port, users["few"][1]) as bystander:
        for _ in range(rounds):
            for name, (user, cookie, root) in users.items():
                begun = time.perf_counter()
                await asyncio.to_thread(build_status_div, user)
                note(f"first paint, {name}", begun)
                begun = time.perf_counter()
                opening = asyncio.create_task(snapshot(port, cookie, root))
                while not opening.done():
                    asked = time.perf_counter()
                    await bystander.send('{"live": null}')
                    await until(bystander, "live")
                    note(f"another page's answer, {name} opened", asked)
                    await asyncio.sleep(0.02)
                await opening
                note(f"snapshot, {name}", begun)
    return times


def connected(port: int, cookie: str):
    """Connect as a page does."""
    return websockets.connect(
        f"ws://127.0.0.1:{port}/moi-ws/", additional_headers={"Cookie": f"sessionid={cookie}"}
    )


async def snapshot(port: int, cookie: str, root: str) -> None:
    """Open a page's socket and read its first snapshot."""
    async with connected(port, cookie) as socket:
        await socket.send(json.dumps({"watch": {root: 100}}))
        while not (await until(socket, "sync"))["complete"]:
            pass


async def until(socket, verb: str):
    """Return the payload of the next frame of a verb."""
    while True:
        frame = json.loads(await socket.recv())
        if verb in frame:
            return frame[verb]


def report(times: dict[str, list[float]], jobs: int) -> None:
    """Print the medians and the worst."""
    print(f"few is {FEW} jobs, many {jobs:,}; milliseconds: median, worst")
    for name, each in sorted(times.items()):
        print(f"{name:40} {statistics.median(each):8.1f} {max(each):8.1f}")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    jobs, rounds = [*given, *[10_000, 10][len(given) :]]
    main(jobs, rounds)
