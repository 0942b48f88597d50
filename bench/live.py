"""How soon pages are told of changes, how many of them, and what an open page costs.

    python bench/live.py [scenario ...] [--sockets N] [--seconds S] [--rate R] [--jobs J]
                         [--old] [--layer BACKEND] [--peer] [--json FILE]

One process of the web server, as `moi up` runs it, and one process with all sockets share the
machine. Jobs change as an engine changes them, their status being the time; its age is taken where
a socket has heard it. Scenarios: one page; a crowd at a group, the same at ten times the pace;
users each of whom sees an own tree; the memory of an idle socket; round trips of a first paint.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from peer_programs.channels_site import GROUP
from redis.connection import parse_url
from services import ROOT, make_parser, running_services

CLIENT = str(Path(__file__).with_name("live_client.py"))
SERVER = "moi_django.contrib.services.web_server"
OURS, PEER = "moi_django.asgi.application", "bench.peer_programs.channels_site.application"
# Seconds after the last change at which a page that does not show it is stale.
PATIENCE = 2.0
# A server that does nothing but hold its sockets.
BARE = """
async def application(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass
"""


@dataclass(frozen=True)
class Load:
    """What is watched, and how much of it changes."""

    sockets: int
    # Changes a second in all, and how many jobs there are to change in each tree.
    rate: float
    jobs: int
    # Each socket has a user of its own and the user's tree.
    is_own: bool = False


LOADS = {
    "one": Load(1, 3, 50),
    "crowd": Load(1000, 20, 50),
    "storm": Load(1000, 200, 50),
    "users": Load(1000, 1000, 3, is_own=True),
}


def main() -> None:
    """Measure, print."""
    options = parse()
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    if options.layer:
        os.environ["MOI_TEST_LAYER"] = options.layer
    if options.peer:
        os.environ["MOI_TEST_LAYERS"] = "bench.peer_programs.channels_site.layers"
    found: dict[str, Any] = {}
    with running_services(settings="bench.live_settings") as redis_url:
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        measures: dict[str, Callable[[], dict]] = {
            **{name: partial(measure_ages, name, options) for name in LOADS},
            "idle": lambda: measure_idle(options.sockets or 1000),
            "paint": lambda: measure_paint(redis_url),
        }
        for name in options.scenarios or measures:
            print(f"{name} ...", file=sys.stderr, flush=True)
            load = os.getloadavg()[0]
            found[name] = {**measures[name](), "load": load}
            print(line_of(name, found[name]), flush=True)
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M}, {os.cpu_count()} CPUs, {platform.platform()}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="scenario", choices=[*LOADS, "idle", "paint", []]
    )
    parser.add_argument("--sockets", type=int)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, help="changes a second, in all trees together")
    parser.add_argument("--jobs", type=int, help="jobs of each tree")
    parser.add_argument("--old", action="store_true", help="pages as those of 0.3.0: no lists")
    parser.add_argument("--peer", action="store_true", help="a site with channels-redis alone")
    parser.add_argument("--layer", help="BACKEND of the channel layer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all figures")
    return parser.parse_args()


# The programs


@contextmanager
def running_server(application: str, **env: str) -> Iterator[tuple[psutil.Process, int]]:
    """Run the web server of `moi up` until the block ends; gives it and its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        number, port = listening.fileno(), listening.getsockname()[1]
        told, ready = os.pipe()
        command = [sys.executable, "-m", SERVER, str(number), application, str(ready)]
        path = os.pathsep.join([str(ROOT), os.environ["MOI_TEST_DIR"]])
        server = subprocess.Popen(
            command,
            pass_fds=[number, ready],
            env={**os.environ, "PYTHONPATH": path, **env},
            stdout=subprocess.DEVNULL,
            stderr=None if "MOI_BENCH_LOG" in os.environ else subprocess.DEVNULL,
        )
        os.close(ready)
        try:
            has_started = os.read(told, 1)
            os.close(told)
            if not has_started:
                raise SystemExit("The server has not started: MOI_BENCH_LOG=1 shows why.")
            yield psutil.Process(server.pid), port
        finally:
            server.terminate()
            server.wait()


class Client:
    """The process that has all sockets."""

    def __init__(self, sockets: list[tuple[str, dict[str, str], list[str]]]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask({"sockets": sockets})

    def ask(self, said: dict[str, Any]) -> dict[str, Any]:
        """Say something; return the answer."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def stop(self, final: list[dict[str, str]] | None = None) -> dict[str, Any]:
        """Return what was heard, compared with how things are in the end."""
        try:
            return self.ask({"stop": final})
        finally:
            self._process.wait()


# The measures


def measure_ages(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return how old changes were when they came."""
    usual = LOADS[name]
    sockets = options.sockets if options.sockets and name != "one" else usual.sockets
    load = Load(
        sockets,
        options.rate or (float(sockets) if usual.is_own else usual.rate),
        options.jobs or usual.jobs,
        usual.is_own,
    )
    trees = [tree_of(f"{name} {n}", load.jobs) for n in range(load.sockets if load.is_own else 1)]
    shown = [tree for tree in trees for _ in range(1 if load.is_own else load.sockets)]
    with running_server(PEER if options.peer else OURS) as (server, port):
        query = "" if options.old else "?lists=1"
        pages = [page_of(f"ws://127.0.0.1:{port}/moi-ws/{query}", tree) for tree in shown]
        client = Client([(*page[:2], []) for page in pages] if options.peer else pages)
        wait_until_idle(server)
        client.ask({"begin": None})
        before, begun = cpu_of(server), time.monotonic()
        final = change_for(options.seconds, load, trees, sender() if options.peer else None)
        seconds = time.monotonic() - begun
        used = cpu_of(server) - before
        time.sleep(PATIENCE)
        heard = client.stop([final[tree["root"]] for tree in shown])
    ages = heard.pop("ages")
    at = lambda share: ages[min(len(ages) - 1, int(len(ages) * share))] * 1000  # noqa: E731
    return {
        "sockets": load.sockets,
        "changes_per_second": sum(map(len, trees)) and load.rate,
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "frames_per_second": heard.pop("frames") / seconds,
        "cpu": used / seconds,
        **heard,
    }


def tree_of(name: str, jobs: int) -> dict[str, Any]:
    """Return the running jobs of a new user, the user's root group, and a cookie."""
    from django.contrib.auth import get_user_model
    from django.test import Client as Browser

    from moi_django import Group
    from moi_django.models import State, now
    from moi_django.site_store import get_store
    from tests.helpers.records import job_in

    user, _ = get_user_model().objects.get_or_create(username=name)
    group = Group.of(user)
    running = {
        "state": State.RUNNING,
        "status": "Running",
        "date_start": now(),
        "context": "default",
    }
    infos = [job_in(get_store(), group, f"replica {n}", **running) for n in range(jobs)]
    browser = Browser()
    browser.force_login(user)
    return {"root": group.id, "infos": infos, "cookie": browser.cookies["sessionid"].value}


def page_of(address: str, tree: dict[str, Any]) -> tuple[str, dict[str, str], list[str]]:
    """Return what opens the page of a tree."""
    headers = {"Cookie": f"sessionid={tree['cookie']}"}
    return address, headers, [json.dumps({"watch": {tree["root"]: 100}})]


def sender() -> Callable[[Any], None]:
    """Return what tells the group of channels-redis of a job."""
    from asgiref.sync import async_to_sync
    from channels.layers import get_channel_layer

    send = async_to_sync(get_channel_layer().group_send)
    return lambda info: send(GROUP, {"type": "change", "text": f'{{"update": {info.to_wire()}}}'})


def change_for(
    seconds: float, load: Load, trees: list[dict], send: Callable[[Any], None] | None
) -> dict[str, dict[str, str]]:
    """Change one job after the other; return the last status of each job of each tree."""
    from moi_django.engine.status_writer import StatusWriter
    from moi_django.site_store import get_store

    writers = [
        (tree["root"], StatusWriter(get_store(), tree["infos"][n], 1000))
        for n in range(load.jobs)
        for tree in trees
    ]
    final: dict[str, dict[str, str]] = {tree["root"]: {} for tree in trees}
    begun = time.monotonic()
    for number in range(int(seconds * load.rate)):
        root, writer = writers[number % len(writers)]
        time.sleep(max(0.0, begun + number / load.rate - time.monotonic()))
        writer.write_status(f"{time.time():.6f}")
        if send:
            send(writer.info)
        final[root][writer.info.id] = writer.info.status
    return final


def wait_until_idle(server: psutil.Process) -> None:
    """Return when a server has nothing left to do with the jobs and pages that have come."""
    used = -1.0
    while (now := cpu_of(server)) - used > 0.05:
        used = now
        time.sleep(1)


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure_idle(sockets: int) -> dict[str, Any]:
    """Return the bytes that an idle page takes, beside those that the server alone takes."""
    Path(os.environ["MOI_TEST_DIR"], "bare.py").write_text(BARE)
    tree = tree_of("idle", 3)
    bare = memory_of_sockets("bare.application", "", [], sockets, tree)
    ours = memory_of_sockets(
        "moi_django.asgi.application", "moi-ws/?lists=1", page_of("", tree)[2], sockets, tree
    )
    return {"sockets": sockets, "kb": ours / 1000, "bare_kb": bare / 1000}


def memory_of_sockets(
    application: str, path: str, said: list[str], sockets: int, tree: dict[str, Any]
) -> float:
    """Return the bytes of a server for each of so many idle sockets."""
    with running_server(application) as (server, port):
        address, (_, headers, _) = f"ws://127.0.0.1:{port}/{path}", page_of("", tree)
        # What is loaded with the first ones is not theirs.
        first = Client([(address, headers, said)] * 20)
        time.sleep(1)
        before = server.memory_full_info().uss
        client = Client([(address, headers, said)] * sockets)
        time.sleep(3)
        after = server.memory_full_info().uss
        first.stop()
        client.stop()
    return (after - before) / sockets


def measure_paint(redis_url: str) -> dict[str, Any]:
    """Return the round trips and milliseconds of a first paint of groups in groups."""
    from django.contrib.auth import get_user_model
    from django.template import engines
    from django.test import RequestFactory

    from moi_django import Group
    from moi_django.conf import conf
    from moi_django.site_store import get_store
    from tests.helpers.records import job_in

    user, _ = get_user_model().objects.get_or_create(username="paint")
    for outer in range(3):
        sweep = Group.create(user, f"sweep {outer}")
        for inner in range(3):
            replicas = Group.create(sweep, f"{inner} K")
            for n in range(10):
                job_in(get_store(), replicas, f"replica {n}")
    request = RequestFactory().get("/")
    request.user = user
    page = engines["django"].from_string("{% load moi %}{% moi_jobs %}")
    with counting_proxy(redis_url) as (url, trips):
        conf_before, os.environ["MOI_REDIS_URL"] = os.environ["MOI_REDIS_URL"], url
        page.render({}, request)
        time.sleep(2.1)  # until queues are looked up again
        trips.clear()
        html = page.render({}, request)
        count = len(trips)
        os.environ["MOI_REDIS_URL"] = conf_before
    assert conf.redis_url == redis_url
    times = []
    for _ in range(30):
        begun = time.perf_counter()
        page.render({}, request)
        times.append(time.perf_counter() - begun)
    return {"round_trips": count, "ms": sorted(times)[15] * 1000, "kb": len(html) / 1000}


@contextmanager
def counting_proxy(url: str) -> Iterator[tuple[str, list[float]]]:
    """Stand before a Redis; gives an address, and a list with an entry for each round trip."""
    trips: list[float] = []
    place = parse_url(url)
    loop = asyncio.new_event_loop()

    async def open_upstream() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if "path" in place:
            return await asyncio.open_unix_connection(place["path"])
        return await asyncio.open_connection(place["host"], place["port"])

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await open_upstream()
        is_asking = False

        async def pump(source: Any, sink: Any, is_question: bool) -> None:
            nonlocal is_asking
            while data := await source.read(1 << 20):
                if is_question and not is_asking:
                    trips.append(time.monotonic())
                is_asking = is_question
                sink.write(data)
                await sink.drain()
            sink.close()

        # What is under way at the end is cancelled.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                pump(reader, up_writer, True),
                pump(up_reader, writer, False),
                return_exceptions=True,
            )

    server = loop.run_until_complete(asyncio.start_server(connect, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    secret = f"{place.get('username', '')}:{place['password']}@" if "password" in place else ""
    yield f"redis://{secret}127.0.0.1:{port}/0", trips
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
    loop.close()


# The report

FORMS = {
    "sockets": ",",
    "changes_per_second": ",.0f",
    "p50_ms": ",.1f",
    "p95_ms": ",.1f",
    "p99_ms": ",.1f",
    "frames_per_second": ",.0f",
    "cpu": ".0%",
    "kb": ".1f",
    "bare_kb": ".1f",
    "ms": ".1f",
    "load": ".1f",
}


def line_of(name: str, found: dict[str, Any]) -> str:
    """Return what was found in a line."""
    figures = ", ".join(f"{each} {value:{FORMS.get(each, ',')}}" for each, value in found.items())
    return f"{name:8} {figures}"


if __name__ == "__main__":
    main()
