"""What visitors may ask for."""

from django import forms

KINDS = [
    ("hello", "Say hello, a job of five seconds"),
    ("group", "A group of five such jobs"),
    ("stars", "Count stars, a slow job that says how far it is"),
    ("failing", "Divide by zero, a job that fails"),
    ("pi", "Estimate π: progress, output, a plot and a file"),
    ("search", "Search sequences: progress and a table"),
    ("sweep", "A sweep of parameters: groups in a group, twenty jobs"),
]


class SubmitForm(forms.Form):
    """A job or a group to submit."""

    name = forms.CharField(max_length=100, initial="The hello job")
    kind = forms.ChoiceField(choices=KINDS, widget=forms.RadioSelect, initial="hello")
