"""How jobs, numbers and output are written for people, in pages and in a terminal alike."""
