"""How clusters are now, and which jobs there are: for the panel and the terminal."""
