"""How work reaches engines through ipyparallel, and how jobs end when engines die."""
