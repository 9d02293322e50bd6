"""The service under load, killed again and again: the load, the kills, and what must be there."""
