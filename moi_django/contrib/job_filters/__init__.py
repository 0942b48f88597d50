"""Lists that scale: filters by state and name, and what is done with many jobs at once."""
