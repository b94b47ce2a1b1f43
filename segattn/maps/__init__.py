"""Attention maps: what a pixel attends to, as arrays and as a figure."""
