"""What the consumer of Huey imports."""

import os

from huey import RedisHuey

from peer_programs.base import REDIS_URL
from peer_programs.no_op import no_op

# Without notify_result, who waits for a result polls, at first after 0.1 s.
huey = RedisHuey("bench", url=os.environ[REDIS_URL], notify_result=True)
task = huey.task()(no_op)
