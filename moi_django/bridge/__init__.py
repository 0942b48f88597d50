"""What changes in Redis, carried to the pages of this server process: no user, no socket."""
