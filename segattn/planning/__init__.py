"""Predictions before anything runs: peak memory, and the networks within a budget."""
