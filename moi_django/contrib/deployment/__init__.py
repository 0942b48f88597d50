"""What `manage.py check --deploy` says of an install."""
