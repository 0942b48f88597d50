"""What the workers of Dramatiq import."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from peer_programs.base import REDIS_URL
from peer_programs.no_op import no_op

_url = os.environ[REDIS_URL]
broker = RedisBroker(url=_url)
broker.add_middleware(Results(backend=RedisBackend(url=_url)))
dramatiq.set_broker(broker)
actor = dramatiq.actor(no_op, store_results=True)
