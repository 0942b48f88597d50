"""Whether all that jobs need is well: for people in a terminal, for load balancers by url."""
