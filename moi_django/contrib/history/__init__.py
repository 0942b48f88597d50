"""Keep what jobs came to in the database of the site, for longer than Redis keeps the jobs.

An app of its own, to be put into INSTALLED_APPS as `moi_django.contrib.history`. It is a consumer
of `contrib/events`; the page of a job that has left Redis is made from what is kept here.
"""
