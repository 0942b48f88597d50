"""A site that has not put the app's own pages among its urls."""

from django.urls import path

from tests.site.urls import page

urlpatterns = [path("", page)]
