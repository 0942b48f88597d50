"""What an engine needs to run a job; without Django, which it uses where it is there."""
