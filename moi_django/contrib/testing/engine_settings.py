"""The settings of a site as the engines of its tests have them: with the databases of the tests."""

import json
import os
from importlib import import_module
from typing import Any

VARIABLE = "MOI_TEST_ENGINE"

_given: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
if _given:
    _site = import_module(_given["module"])
    globals().update({name: getattr(_site, name) for name in dir(_site) if name.isupper()})
    DATABASES: dict[str, Any] = {
        alias: {**settings, **_given["databases"].get(alias, {})}
        for alias, settings in getattr(_site, "DATABASES", {}).items()
    }
    MOI: dict[str, Any] = {**getattr(_site, "MOI", {}), **_given["moi"]}
    EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
