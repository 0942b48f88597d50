"""The settings of a site as the engines of its tests have them: with the databases of the tests."""

import json
import os
from importlib import import_module
from typing import Any

VARIABLE = "MOI_TEST_ENGINE"
# As in the tests themselves: nothing is sent.
MAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

_given: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
if _given:
    _site = import_module(_given["module"])
    globals().update({name: getattr(_site, name) for name in dir(_site) if name.isupper()})
    DATABASES: dict[str, Any] = {
        alias: {**settings, **_given["databases"].get(alias, {})}
        for alias, settings in getattr(_site, "DATABASES", {}).items()
    }
    MOI: dict[str, Any] = {**getattr(_site, "MOI", {}), **_given["moi"]}
    if hasattr(_site, "MAILERS"):  # since Django 6.1, which takes no more EMAIL_BACKEND beside it
        MAILERS = {alias: {"BACKEND": MAIL_BACKEND} for alias in _site.MAILERS}
    else:
        EMAIL_BACKEND = MAIL_BACKEND
