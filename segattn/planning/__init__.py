"""Costs predicted before anything runs: memory, and what a budget buys."""
