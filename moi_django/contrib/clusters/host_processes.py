"""Start, list and end processes of a context on the host where this runs.

Processes are known by an argument that no others have, so nothing has to be remembered, and a
process id is never that of somebody else. As a program, by ssh or not, it reads what to do as JSON
from its standard input, which no list of processes shows, and writes what came of it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

# Seconds in which a process that cannot work has ended.
EARLY_END = 1.0
# Lines of the log of such a process that are told.
TOLD_LINES = 20
# Days after the last line of a log in which it can be read when its process has ended.
LOG_DAYS = 30
# Lets a program have as many files as it may: a controller has one or two for each engine.
RAISE_LIMIT = 'ulimit -n "$(ulimit -Hn)"; exec "$@"'


def start(
    command: Sequence[str], directory: str, name: str, cwd: str = "", env: Mapping[str, str] = {}
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one; its log is named after it, with its process id."""
    logs = Path(directory).expanduser() / "log"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = logs / f"{name}-{os.urandom(8).hex()}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", RAISE_LIMIT, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd if cwd and Path(cwd).is_dir() else Path.home(),
            env={**os.environ, **env},
        )
    draft.rename(logs / f"{name}-{process.pid}.log")
    return process


def old_logs(logs: Path, name: str) -> dict[str, Path]:
    """Return logs to which nothing was written for a long time, by the ids of what has them."""
    limit = time.time() - LOG_DAYS * 86_400
    found = {}
    for file in logs.glob(f"{name}-*.log"):
        with suppress(FileNotFoundError):  # another program removes them, too
            if file.stat().st_mtime < limit:
                found[file.stem.removeprefix(f"{name}-")] = file
    return found


def find(argument: str) -> list[psutil.Process]:
    """Return the processes that have an argument."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if argument in (process.info["cmdline"] or ())
    ]


def read_end(file: Path, lines: int) -> str:
    """Return the last lines of a file."""
    with file.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - 500 * lines))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])


def start_all(
    directory: str, commands: list[list[str]], cwd: str, env: dict[str, str], name: str = "engine"
) -> list[int]:
    """Start processes; return their ids. Raises OSError, with its log, where one ends."""
    for pid, file in old_logs(Path(directory).expanduser() / "log", name).items():
        if not (pid.isdigit() and psutil.pid_exists(int(pid))):
            file.unlink(missing_ok=True)
    started = [start(_expanded(each), directory, name, cwd, env) for each in commands]
    until = time.monotonic() + EARLY_END
    while time.monotonic() < until:
        for process in started:
            if code := process.poll():
                stop([each.pid for each in started], [each.pid for each in started])
                log = Path(directory).expanduser() / "log" / f"{name}-{process.pid}.log"
                raise OSError(f"It ended with code {code}: {read_end(log, TOLD_LINES)}")
        time.sleep(0.05)
    return [process.pid for process in started]


def list_all(argument: str) -> list[dict[str, Any]]:
    """Return what is known of the processes that have an argument."""
    return [
        {
            "pid": process.pid,
            "age": time.time() - process.create_time(),
            "command": process.info["cmdline"],
        }
        for process in find(_expanded([argument])[0])
    ]


def stop(pids: list[int], known: list[int], kill: bool = False) -> None:
    """Ask processes to end, or kill them with their groups."""
    for pid in set(pids) & set(known):
        try:
            if kill:
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue  # it has just ended


def stop_all(argument: str, pids: list[int], kill: bool = False) -> None:
    """Ask processes that have an argument to end, or kill them."""
    stop(pids, [each.pid for each in find(_expanded([argument])[0])], kill)


def read_log(directory: str, pid: int, lines: int) -> str:
    """Return the last lines of the log of an engine."""
    return read_end(Path(directory).expanduser() / "log" / f"engine-{pid}.log", lines)


def _expanded(command: list[str]) -> list[str]:
    """Return a command whose directories below ~ are those of this user."""
    home = str(Path.home())
    return [each.replace("=~/", f"={home}/", 1) for each in command]


ACTS = {"start": start_all, "list": list_all, "stop": stop_all, "log": read_log}


def main() -> None:
    """Do what is asked for on standard input."""
    asked = json.load(sys.stdin)
    act: Any = ACTS[asked.pop("act")]
    try:
        answer = {"answer": act(**asked)}
    except OSError as error:
        answer = {"error": str(error)}
    # What the shell lines before this have printed stands before it.
    print(f"\n{json.dumps(answer)}")


if __name__ == "__main__":
    main()
