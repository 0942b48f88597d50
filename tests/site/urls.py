"""Pages of the site that the tests run."""

urlpatterns: list = []
