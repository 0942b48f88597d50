"""Write seconds and bytes as people read them, in units that need no translation."""

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float | None) -> str:
    """Return a length of time in its one or two largest units; a dash for none."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    left, parts = round(seconds), list[str]()
    for length, unit in _STEPS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2]))


def size(count: float | None) -> str:
    """Return a number of bytes in its largest unit; a dash for none."""
    if count is None:
        return "—"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def percent(share: float | None) -> str:
    """Return a share in whole per cents; a dash for none."""
    return "—" if share is None else f"{share:.0f} %"
