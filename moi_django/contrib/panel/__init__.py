"""The operator's panel in the Django admin."""
