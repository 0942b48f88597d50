"""The page of the app: `path("moi/notify/", include("moi_django.contrib.notify.urls"))`."""

from django.urls import path

from moi_django.contrib.notify import views

app_name = "moi_notify"
urlpatterns = [path("", views.choice, name="choice")]
