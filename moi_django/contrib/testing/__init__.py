"""What the tests of a site use instead of its Redis and its clusters, and assert with."""
