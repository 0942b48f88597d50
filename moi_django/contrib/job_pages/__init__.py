"""Our own pages of a job and of a group, for sites that have them among their urls."""
