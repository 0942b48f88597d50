"""Take the bars of tqdm for the progress of a job, with no code of the job's own."""

import importlib.util
from functools import lru_cache, wraps
from typing import Any

from moi_django.engine.current import current_job


@lru_cache(maxsize=1)
def follow_tqdm() -> None:
    """Let every outermost bar of this process tell how far the current job is."""
    if importlib.util.find_spec("tqdm") is None:
        return
    from tqdm.std import tqdm

    refresh = tqdm.refresh

    @wraps(refresh)
    def told(bar: Any, *args: Any, **kwargs: Any) -> Any:
        job = current_job()
        if job is not None and not abs(bar.pos or 0):
            job.progress(bar.n, bar.total or 0)  # 0: nobody knows
        return refresh(bar, *args, **kwargs)

    tqdm.refresh = told
