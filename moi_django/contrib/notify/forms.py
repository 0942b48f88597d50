"""The form in which users choose."""

from django import forms

from moi_django.contrib.notify.models import Preference


class PreferenceForm(forms.ModelForm):
    """What one user wants to be told of."""

    class Meta:
        model = Preference
        fields = ["when", "min_seconds"]
        widgets = {"when": forms.RadioSelect}
