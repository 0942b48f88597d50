"""The verbs of `manage.py moi` that submit, show, cancel and retry jobs."""
