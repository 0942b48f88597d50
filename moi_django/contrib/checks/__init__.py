"""What `manage.py check`, and `check --deploy`, say of an install."""
