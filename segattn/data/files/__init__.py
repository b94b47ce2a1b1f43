"""Decoding and pairing of image and mask files."""
