"""What becomes of jobs, told in a process of the site to parts that want to hear of it.

Such a part names a function in the ready() of its AppConfig:

    register("history", handle)

From then on `handle(events)` is called with a list of `JobEvent`, the oldest first: at least once
for each job that is submitted, begins an attempt, changes its state or status text, or ends,
whatever dies in between. Those of one job come in their order. What it has returned from is not
told again, unless the process dies at that very moment: `(event.info.id, event.info.version)` and
the kind tell a repetition. When it raises, the same events are told again after a pause, and none
after them: let it raise only what passes, such as a database that is away. Each consumer has its
own place in the stream, thread and pace.

A `tick` that is registered beside it is called about once a second in that thread, too: for what
is to be done later, by one process at a time.

Read by the reconciler (`moi reconcile`, `moi up`), else by a web server process with open pages; by
one at a time for each consumer.
"""

from moi_django.contrib.events.registry import EventKind, JobEvent, register, unregister

__all__ = ["EventKind", "JobEvent", "register", "unregister"]
