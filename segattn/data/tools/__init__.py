"""`segattn data`: prepare, make, check, pack."""
