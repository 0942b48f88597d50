"""Django's own task interface: its tasks run as jobs."""
