"""Training of one network, resumable exactly."""
