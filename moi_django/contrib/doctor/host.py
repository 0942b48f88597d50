"""Look at the host of an engine as the engine would: python -m moi_django.doctor FILE.

It needs no Django, and no settings but those that an engine has.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from moi_django.contrib.doctor.connection import examine_file, examine_key, examine_ports
from moi_django.contrib.doctor.engine_report import describe_process
from moi_django.contrib.doctor.finding import Finding, Level, fault, in_order, ok, shortened
from moi_django.contrib.doctor.redis_checks import examine_redis

# Seconds that the settings may take to be imported.
SETTINGS_TIMEOUT = 4.0
SET_UP = "import django; django.setup()"


def examine_host(file: Path, redis: str | None) -> list[Finding]:
    """Return what is found from this host, all looked at at once."""
    with ThreadPoolExecutor(3) as threads:
        looks = [
            threads.submit(examine_controller, file),
            threads.submit(examine_own_redis, redis),
            threads.submit(examine_own_code),
        ]
        return in_order(finding for look in looks for finding in look.result())


def examine_controller(file: Path) -> list[Finding]:
    """Return what is found of the controller of a file."""
    found, connection = examine_file(file, "")
    if connection is None:
        return found
    found = examine_ports(connection, "")
    if any(each.check == "port-registration" and each.level is Level.OK for each in found):
        found += examine_key(connection, "")[0]
    return found


def examine_own_redis(url: str | None) -> list[Finding]:
    """Return what is found of Redis, where its url is given."""
    return examine_redis(url) if url else []


def examine_own_code() -> list[Finding]:
    """Return what is found of the code that is here."""
    own = describe_process()
    versions = ", ".join(f"{name} {each}" for name, each in own["versions"].items() if each)
    found = [ok("engine-packages", f"Python {own['python']}, {versions}")]
    found += [
        fault("engine-packages", f"{name} is missing", f"install it for {sys.executable}")
        for name in ("moi_django", "ipyparallel", "redis")
        if not own["versions"][name]
    ]
    if module := os.environ.get("DJANGO_SETTINGS_MODULE"):
        found.append(_examine_settings(module))
    return found


def _examine_settings(module: str) -> Finding:
    """Set Django up as an engine does, in a process of its own."""
    try:
        ran = subprocess.run(
            [sys.executable, "-c", SET_UP], capture_output=True, text=True, timeout=SETTINGS_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        text = f"{module} takes more than {SETTINGS_TIMEOUT:g} s to be imported"
        return fault("engine-settings", text, "see what it waits for")
    if ran.returncode:
        text = f"Django cannot be set up with {module}: {ran.stderr.strip().splitlines()[-1]}"
        advice = f"PYTHONPATH is {os.environ.get('PYTHONPATH') or 'not set'}"
        return fault("engine-settings", text, advice)
    return ok("engine-settings", f"{module} can be imported")


def write_findings(found: Sequence[Finding], as_json: bool, began: float) -> int:
    """Print what was found; return the exit code."""
    is_well = not any(each.level is Level.FAULT for each in found)
    print(to_json(found) if as_json else to_text(found, time.monotonic() - began))
    return 0 if is_well else 1


def to_json(found: Sequence[Finding]) -> str:
    """Return what programs read."""
    is_well = not any(each.level is Level.FAULT for each in found)
    return json.dumps({"ok": is_well, "findings": [asdict(each) for each in found]}, indent=2)


def to_text(found: Sequence[Finding], seconds: float) -> str:
    """Return a line for each, and how many there are of which kind."""
    counts = {level: sum(each.level is level for each in found) for level in Level}
    faults, notes = counts[Level.FAULT], counts[Level.NOTE]
    total = f"{faults} fault{'s' * (faults != 1)}, {notes} note{'s' * (notes != 1)}, "
    total += f"{counts[Level.OK]} well, in {seconds:.1f} s"
    return "\n".join([*(escape_control(each.line) for each in shortened(found)), total])


def escape_control(text: str) -> str:
    """Return a text with what would move a terminal's cursor made visible."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m moi_django.doctor",
        description="Find out why engines on this host do not work.",
    )
    parser.add_argument(
        "file", type=Path, metavar="CONNECTION_FILE", help="ipcontroller-engine.json"
    )
    parser.add_argument("--redis", metavar="URL", help="ENGINE_REDIS_URL of the site")
    parser.add_argument("--json", action="store_true", help="write JSON")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    return write_findings(examine_host(asked.file, asked.redis), asked.json, began)
