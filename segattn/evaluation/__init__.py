"""Scores: what is measured on a split, and how."""
