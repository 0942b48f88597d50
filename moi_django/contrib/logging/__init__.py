"""What the records of a site's log say of the job in which they were made."""
