"""Pages of a site that has the app for notifications."""

from django.urls import include, path

from tests.site import urls

urlpatterns = [*urls.urlpatterns, path("told/", include("moi_django.contrib.notify.urls"))]
