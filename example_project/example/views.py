"""The pages: submit something and watch it, look at a result, look at a group."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from example import work
from example.forms import SubmitForm
from moi_django import Group, MoiError, Options, ctx_default, submit
from moi_django.shortcuts import get_group_or_404, get_job_or_404

# Their jobs have no page of this site, so they link to those of moi_django.
FUNCTIONS = {"pi": work.estimate_pi, "search": work.search_sequence}
TEMPERATURES = (0.5, 1, 2, 4)


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Submit what the form asks for; the page shows by itself what becomes of it."""
    form = SubmitForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            submit_kind(request.user, form.cleaned_data["kind"], form.cleaned_data["name"])
        except MoiError as error:
            messages.error(request, str(error))
        return redirect("home")
    return render(request, "example/home.html", {"form": form})


def submit_kind(user: User, kind: str, name: str) -> None:
    """Send one of the example's jobs to the cluster."""
    if kind == "group":
        group = Group.create(user, name, url="/group")
        for number in range(1, 6):
            submit(ctx_default, group, f"{name} {number}", "/result", work.say_hello, name)
    elif kind == "sweep":
        submit_sweep(user, name)
    elif kind in FUNCTIONS:
        submit(ctx_default, user, name, None, FUNCTIONS[kind])
    elif kind == "stars":
        submit(ctx_default, user, name, "/result", work.count_stars)
    elif kind == "failing":
        submit(ctx_default, user, name, "/result", work.divide, 1, 0)
    else:
        submit(ctx_default, user, name, "/result", work.say_hello, name)


def submit_sweep(user: User, name: str) -> None:
    """Send jobs for several temperatures, several for each: a group of groups."""
    sweep = Group.create(user, name)
    for temperature in TEMPERATURES:
        group = Group.create(sweep, f"{temperature} K")
        for replica in range(1, 6):
            submit(
                ctx_default,
                group,
                f"replica {replica}",
                None,
                work.simulate,
                temperature,
                replica,
                options=Options(retries=1, timeout=60),
            )


@login_required
def result(request: HttpRequest, id: UUID) -> HttpResponse:
    """Show what a job returned: moi links here, as the job's url is "/result"."""
    return render(request, "example/result.html", {"job": get_job_or_404(request.user, id)})


@login_required
def group(request: HttpRequest, id: UUID) -> HttpResponse:
    """Show the jobs of one group, live as well."""
    return render(request, "example/group.html", {"group": get_group_or_404(request.user, id)})
