"""Find out what is wrong with clusters: before an engine takes jobs, and when somebody asks."""
