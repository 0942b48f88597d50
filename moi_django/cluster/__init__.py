"""How jobs reach engines, and come to an end when those or their controller die."""
