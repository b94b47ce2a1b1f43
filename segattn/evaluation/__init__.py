"""Scores of a model on a split, and their definitions."""
