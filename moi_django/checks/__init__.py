"""What `manage.py check` says of an install."""
