"""Optional parts: what an operator sees, what `moi up` runs, jobs by the clock."""
