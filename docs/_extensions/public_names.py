"""Show of a public class how it is made only where its users make it."""

# The others are handed out.
MADE_BY_USERS = {"moi_django.Options"}


def setup(app):
    app.connect("autodoc-process-signature", drop_signature)
    return {"parallel_read_safe": True}


def drop_signature(app, what, name, obj, options, signature, return_annotation):
    """Leave out how a class is made by the package itself."""
    if signature and what in ("class", "exception") and name not in MADE_BY_USERS:
        return "", ""
    return None
