"""Metrics, for the urls of a site.

path("metrics", include("moi_django.contrib.metrics.urls"))
"""

from django.urls import path

from moi_django.contrib.metrics import views

app_name = "moi_metrics"
urlpatterns = [path("", views.metrics, name="metrics")]
