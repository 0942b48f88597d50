"""Stands for a database in the memory of another process."""
