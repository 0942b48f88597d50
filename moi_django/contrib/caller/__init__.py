"""What a job takes over from who submits it: language, time zone, and the id of the request."""
