"""What the worker of Celery imports."""

import os
from urllib.parse import urlsplit

from celery import Celery

from peer_programs.base import REDIS_URL
from peer_programs.no_op import no_op

_url = urlsplit(os.environ[REDIS_URL])
# As Celery writes the URL of a socket.
_address = f"redis+socket://:{_url.password}@{_url.path}?virtual_host=0"
app = Celery("bench", broker=_address, backend=_address)
app.conf.broker_connection_retry_on_startup = True
task = app.task(no_op)
