"""The page on which users choose what they are told of."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from moi_django.contrib.notify.conf import setting
from moi_django.contrib.notify.forms import PreferenceForm
from moi_django.contrib.notify.models import Preference
from moi_django.contrib.notify.recipients import address_of


@never_cache
@csrf_protect
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def choice(request: HttpRequest) -> HttpResponse:
    """Show what the user has chosen, and take another choice."""
    chosen = Preference._default_manager.filter(user=request.user).first() or Preference(
        user=request.user, when=setting("WHEN"), min_seconds=int(setting("MIN_SECONDS"))
    )
    form = PreferenceForm(request.POST or None, instance=chosen)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Your choice is saved."), fail_silently=True)
        return redirect("moi_notify:choice")
    context = {"form": form, "address": address_of(request.user)}
    return render(request, "moi_django/notify/choice.html", context)
