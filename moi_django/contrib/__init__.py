"""Optional parts, which the rest does without: what an operator sees, and what `moi up` runs."""
