"""The Python API, and what a user may do with a job."""
