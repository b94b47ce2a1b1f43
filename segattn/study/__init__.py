"""A study: every head with every seed, under one protocol."""
