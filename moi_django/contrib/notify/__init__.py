"""Tell people, and other programs, of the end of jobs: by e-mail and by webhook.

An app of its own, which a site adds to INSTALLED_APPS; `docs/howto/notify.md` says how. The way of
a notification, in the order of its modules:

    registry of events -> collector -> Message (a row in the database) -> outbox -> mail or webhook

The collector decides who is told of what, and the outbox sends, with pauses after a failure.
"""
