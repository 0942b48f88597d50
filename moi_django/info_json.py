"""Read info objects, also those that another program of moi's schema has written."""

from collections.abc import Mapping
from typing import Any

from moi_django.models import (
    GROUP,
    GROUP_STATUS,
    INFO_FIELDS,
    JOB,
    MAX_AMOUNT,
    MAX_EARLIER_ATTEMPTS,
    MAX_ERROR_LENGTH,
    RUN,
    SKIP,
    Attempt,
    Info,
    State,
)
from moi_django.validation import is_id, parse_json

_STATES = {state.value: state for state in State}
# For jobs that only tell their status: what moi 0.2 wrote had no state.
_STATE_OF_STATUS = {state.status: state for state in State if state is not State.LOST}


_TEXTS = (
    *("url", "parent", "path", "pubsub", "date_start", "date_end", "date_created"),
    *("context", "engine", "retried", "python", "limit", "unique", "notify"),
    *("run_after", "failed_parent", "exception", "task", "code", "engine_code", "language", "call"),
)
_NUMBERS = ("done", "total", "cpu_seconds", "peak_memory")
_ATTEMPT_TEXTS = ("date_start", "date_end", "ran_on", "exception", "engine_code")


def info_from_json(raw: str | bytes) -> Info:
    """Return an info object.

    Raises ValueError when it is not JSON, lacks an id, or has a field of another kind.
    """
    data = parse_json(raw)
    if not isinstance(data, dict) or not is_id(data.get("id")):
        raise ValueError("not an info object: it has no id")
    return Info(**_complete_fields(data))


def _complete_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an Info, filled in where a foreign program left them out."""
    known = {name: data[name] for name in INFO_FIELDS if name in data}
    for name in _TEXTS:
        if not isinstance(known.get(name, ""), (str, type(None))):
            raise ValueError(f"not an info object: its {name} is {known[name]!r}")
    known["type"] = GROUP if known.get("type") == GROUP else JOB
    known.setdefault("pubsub", f"{data['id']}:pubsub")
    known["name"] = str(known.get("name") or "")
    known["path"] = known.get("path") or ":".join(filter(None, [data.get("parent"), data["id"]]))
    known |= {name: _number_or_none(known.get(name)) for name in _NUMBERS}
    share = _number_or_none(known.get("progress"))
    known["progress"] = None if share is None else min(1.0, max(0.0, share))
    known["version"] = _whole_number(known.get("version"))
    known["attempt"] = _whole_number(known.get("attempt"))
    known["attempts"] = _whole_number(known.get("attempts"))
    known["attached"] = _whole_number(known.get("attached"), 0)
    known["priority"] = _whole_number(known.get("priority"), 0)
    known["after"] = tuple(filter(is_id, _list_of(known.get("after"))))
    known["on_failure"] = RUN if known.get("on_failure") == RUN else SKIP
    known["runs"] = _earlier_attempts(known.get("runs"))
    if known["type"] == GROUP:
        known.update(state=None, status=str(known.get("status") or GROUP_STATUS))
    else:
        known.update(_job_state(known))
    return known


def _whole_number(value: Any, otherwise: int = 1) -> int:
    return value if isinstance(value, int) and abs(value) <= MAX_AMOUNT else otherwise


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _earlier_attempts(value: object) -> tuple[Attempt, ...]:
    """Return the earlier attempts, without what another program may have written in their place."""
    earlier = _list_of(value)[-MAX_EARLIER_ATTEMPTS:]
    return tuple(_parse_attempt(each) for each in earlier if isinstance(each, dict))


def _parse_attempt(data: Mapping[str, Any]) -> Attempt:
    start, end, *more = (
        text if isinstance(text := data.get(name), str) else None for name in _ATTEMPT_TEXTS
    )
    state = _STATES.get(str(data.get("state")), State.FAILED)
    error = str(data.get("error") or "")[:MAX_ERROR_LENGTH]
    return Attempt(
        _whole_number(data.get("attempt")),
        state,
        start,
        end,
        error,
        _number_or_none(data.get("cpu_seconds")),
        _number_or_none(data.get("peak_memory")),
        *more,
    )


def _number_or_none(value: Any) -> Any:
    """Return a number that may be missing; none that nobody could read."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and -MAX_AMOUNT <= value <= MAX_AMOUNT else None


def _job_state(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return `state` and `status` of a job, the one derived from the other where it is missing."""
    status = known.get("status")
    state = (
        _STATES.get(str(known.get("state")))
        or _STATE_OF_STATUS.get(str(status))
        or _state_of_dates(known)
    )
    return {"state": state, "status": str(status or state.status)}


def _state_of_dates(known: Mapping[str, Any]) -> State:
    if known.get("date_end"):
        return State.SUCCESS
    return State.RUNNING if known.get("date_start") else State.QUEUED
