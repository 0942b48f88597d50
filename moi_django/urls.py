"""The app's own pages, for the urls of a site: `path("moi/", include("moi_django.urls"))`."""

from django.urls import path

from moi_django.contrib.job_filters.views import clear_group, log_in
from moi_django.contrib.job_pages import views
from moi_django.pages.page_urls import NAMESPACE

app_name = NAMESPACE
urlpatterns = [
    path("login/", log_in, name="login"),
    path("jobs/", views.list_page, name="jobs"),
    path("jobs/<uuid:id>/", views.job_page, name="job"),
    path("jobs/<uuid:id>/act/", views.act_on_job, name="act"),
    path("jobs/<uuid:id>/output.txt", views.download_output, name="output"),
    path("jobs/<uuid:id>/result.json", views.download_result, name="result"),
    path("jobs/<uuid:id>/shown/<name>", views.result_form, name="form"),
    path("jobs/<uuid:id>/files/<name>", views.download_file, name="file"),
    path("groups/<uuid:id>/", views.group_page, name="group"),
    path("groups/<uuid:id>/clear/", clear_group, name="clear"),
    path("groups/<uuid:id>/act/", views.act_on_group, name="act_on_group"),
]
