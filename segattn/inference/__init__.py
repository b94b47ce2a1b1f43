"""Predictions: windows, files, videos, networks made faster."""
