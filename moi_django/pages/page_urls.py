"""Where the app's own pages are, if the site has put them among its urls."""

from django.urls import NoReverseMatch, reverse

from moi_django.models import Info

NAMESPACE = "moi"
# Stands for an id in an address, for the script to fill in.
BLANK_ID = "00000000-0000-0000-0000-000000000000"


def page_url(info: Info) -> str | None:
    """Return the address of our page of a job or group, or None where the site has not ours."""
    return _reverse_or_none("group" if info.is_group else "job", info.id)


def page_url_patterns() -> dict[str, str]:
    """Return the addresses of pages of jobs and groups with BLANK_ID for the id; empty without."""
    found = {name: _reverse_or_none(name, BLANK_ID) for name in ("job", "group")}
    return {name: address for name, address in found.items() if address}


def row_link(info: Info) -> str | None:
    """Return where a row leads: to its own url, else to our page of it; None where there is none.

    A job's own url has nothing to show before the job has ended.
    """
    own = info.link if info.is_group or info.finished else None
    return own or page_url(info)


def detail_url(info: Info) -> str | None:
    """Return where an operator looks at a job: our page of it, else as `row_link` says."""
    return page_url(info) or row_link(info)


def _reverse_or_none(name: str, id: str) -> str | None:
    try:
        return reverse(f"{NAMESPACE}:{name}", args=[id])
    except NoReverseMatch:
        return None
