"""`manage.py moi top` and `watch`: jobs and engines, live in a terminal."""
