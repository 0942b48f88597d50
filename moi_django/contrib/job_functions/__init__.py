"""`@job`: functions that say themselves how they are sent."""
