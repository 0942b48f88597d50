"""A mail backend whose server is away."""

from django.core.mail.backends.smtp import EmailBackend


class Backend(EmailBackend):
    """Speaks to a port at which nobody listens."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "host": "127.0.0.1", "port": 9})
