"""What the tests of a site use for its jobs: `from moi_django.test import MoiTestCase`."""

from moi_django.contrib.testing.public import *  # noqa: F403
