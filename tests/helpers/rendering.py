"""What the server renders of a template tag."""

import re

from django.template import Context, Template
from django.test import RequestFactory


def render(user, tag="{% moi_jobs %}", path="/", **context):
    request = RequestFactory().get(path)
    request.user = user
    return Template("{% load moi %}" + tag).render(Context({"request": request, **context}))


def live(html):
    """Return what of the div people see: not the templates for rows to come."""
    return re.sub(r"<template.*?</template>", "", html, flags=re.DOTALL)
