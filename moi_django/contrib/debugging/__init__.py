"""`manage.py moi run`: a job in the foreground, where its developer can stop it."""
