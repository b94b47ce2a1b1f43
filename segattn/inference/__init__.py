"""Prediction: sliding windows, image files, videos, optimized networks."""
