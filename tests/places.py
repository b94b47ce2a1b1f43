"""Where things are, from wherever a test lies."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""
CAMVID = ROOT.parent / "shared/data/camvid"
"""Real photos, beside the repository where there are any."""
