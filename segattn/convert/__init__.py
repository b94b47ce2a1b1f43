"""Converts checkpoints of other code bases to ours and back; `mmseg` is mmsegmentation.

`source` reads whatever a network can start from, and `transfer` loads what fits of it.
"""
