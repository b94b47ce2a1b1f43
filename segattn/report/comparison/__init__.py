"""The comparison of two networks."""
