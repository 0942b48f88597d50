"""Take the bars of tqdm for the progress of a job, with no code of the job's own."""

import importlib.util
from functools import lru_cache, wraps
from typing import Any

from moi_django.current import progress


@lru_cache(maxsize=1)
def follow_tqdm() -> None:
    """Let every outermost bar of this process tell how far the current job is."""
    if importlib.util.find_spec("tqdm") is None:
        return
    from tqdm.std import tqdm

    refresh = tqdm.refresh

    @wraps(refresh)
    def told(bar: Any, *args: Any, **kwargs: Any) -> Any:
        if bar.total and not abs(bar.pos or 0):
            progress(bar.n, bar.total)
        return refresh(bar, *args, **kwargs)

    tqdm.refresh = told
