"""Pages of the site that the tests run."""

import secrets

from django.conf import settings
from django.contrib import admin
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import include, path
from django.views.static import serve

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
)


def policy(get_response):
    """Send the policy with every page that has none of its own, as such middleware does."""

    def middleware(request):
        response = get_response(request)
        # Tables and the like are shown in a frame.
        frames = "; frame-src 'self'" if request.path.startswith("/moi/") else ""
        response.headers.setdefault("Content-Security-Policy", POLICY + frames)
        return response

    return middleware


def page(request, group=None):
    shown = {
        "group": group,
        **{name: request.GET.get(name) for name in ("limit", "notify", "own", "many")},
    }
    if "nonce" not in request.GET:
        return render(request, "tests/page.html", shown)
    nonce = secrets.token_urlsafe()
    response = render(request, "tests/page.html", {**shown, "csp_nonce": nonce})
    response["Content-Security-Policy"] = POLICY.replace(
        "script-src 'self'", f"script-src 'nonce-{nonce}'"
    )
    return response


def result(request, id):
    return HttpResponse(f"The result of {id}", content_type="text/plain")


urlpatterns = [
    path("", page),
    path("admin/", admin.site.urls),
    path("with/<group>", page),
    path("favicon.ico", lambda request: HttpResponse(status=204)),
    path("result/<id>", result),
    path("group/<group>", page),
    path("moi/", include("moi_django.urls")),
    path("health/", include("moi_django.contrib.health.urls")),
    path("metrics", include("moi_django.contrib.metrics.urls")),
    path("hashed/<path:path>", lambda request, path: serve(request, path, settings.STATIC_ROOT)),
]
