"""What `moi up` runs, and how it ends with it."""
