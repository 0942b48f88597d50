"""How jobs reach engines, how those are, and how jobs end when engines or controller die."""
