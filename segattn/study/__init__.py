"""A study: every head, every seed, one protocol."""
