"""Health, for the urls of a site: `path("health/", include("moi_django.contrib.health.urls"))`."""

from django.urls import path

from moi_django.contrib.health import views

app_name = "moi_health"
urlpatterns = [
    path("live", views.live, name="live"),
    path("ready", views.ready, name="ready"),
    path("details", views.details, name="details"),
]
