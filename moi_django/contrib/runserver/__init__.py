"""A `runserver` whose pages are live, for sites that name it before staticfiles."""
