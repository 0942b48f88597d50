"""Jobs and engines as text, for the command line."""
