"""Find out why engines on this host do not work: `python -m moi_django.doctor CONNECTION_FILE`."""

from moi_django.contrib.doctor.host import main

if __name__ == "__main__":
    raise SystemExit(main())
