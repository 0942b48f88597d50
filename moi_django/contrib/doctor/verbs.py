"""The verb `manage.py moi doctor`: find out what is wrong with clusters, and what to do.

What costs time to import is imported when it is needed.
"""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.contrib.command_line.verb_base import Verb, describe_json, write_line


def _describe_doctor(parser: Any) -> None:
    """Find out what is wrong with clusters, engines and Redis; exit code 1 when something is."""
    parser.add_argument("--context", help="which cluster (default: each of them)")
    describe_json(parser)


def _doctor(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.conf import conf
    from moi_django.contrib.doctor.cluster_checks import examine_site
    from moi_django.contrib.doctor.finding import Level
    from moi_django.contrib.doctor.host import to_json, to_text

    began, name = time.monotonic(), options["context"]
    if name is not None:
        conf.context(name)
    found = examine_site([name] if name else conf.CONTEXTS)
    as_text = to_json(found) if options["json"] else to_text(found, time.monotonic() - began)
    write_line(command, as_text)
    if any(each.level is Level.FAULT for each in found):
        sys.exit(1)


VERBS = {"doctor": Verb(_describe_doctor, _doctor, needs_redis=False)}
