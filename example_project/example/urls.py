"""The pages of the example."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from example import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("example/icon.svg"))),
    path("", views.home, name="home"),
    path("result/<uuid:id>", views.result, name="result"),
    path("group/<uuid:id>", views.group, name="group"),
    path("moi/", include("moi_django.urls")),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
]
