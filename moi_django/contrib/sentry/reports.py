"""Report what jobs raise from their processes, which end before Sentry would send it."""

from collections.abc import Iterator
from contextlib import contextmanager

import sentry_sdk
from sentry_sdk.utils import event_from_exception

from moi_django.engine.current import CurrentJob


@contextmanager
def report_to_sentry(job: CurrentJob) -> Iterator[None]:
    """Report what is raised in the block, unless it is an interrupt or an exit without a code.

    What the job logs in it goes along as breadcrumbs; what it reports itself is sent too. The end
    of the job waits for that as long as the end of a program would.
    """
    with sentry_sdk.isolation_scope() as scope:
        scope.set_transaction_name(job.name, source="task")
        scope.set_tags({"job_id": job.id, "context": job.context, "request_id": job.request_id})
        scope.set_context("moi job", {"name": job.name, "attempt": job.attempt})
        try:
            yield
        except Exception as error:
            _report(error)
            raise
        except SystemExit as error:
            if error.code:
                _report(error)
            raise
        finally:
            # Returns at once when there was nothing.
            sentry_sdk.flush()


def _report(error: BaseException) -> None:
    mechanism = {"type": "moi_django", "handled": False}
    options = sentry_sdk.get_client().options
    event, hint = event_from_exception(error, client_options=options, mechanism=mechanism)
    sentry_sdk.capture_event(event, hint=hint)
