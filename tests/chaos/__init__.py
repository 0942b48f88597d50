"""Kill everything under load, at random, and see that nothing is lost."""
