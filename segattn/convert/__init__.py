"""Converts checkpoints of other code bases to ours and back; `mmseg` is mmsegmentation."""
