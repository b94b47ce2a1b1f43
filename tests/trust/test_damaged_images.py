"""Damaged images and masks: the very pixels, or an error that names the file."""

import random
from collections import Counter
from functools import partial

import numpy as np
import pytest
from PIL import Image

from segattn.data import streets
from segattn.data.files.decode import read_image, read_label
from tests.trust import mutations
from tests.trust.outcomes import judged, tell

CASES = {"sample": 20, "whole": 240}
SCENE = streets.load("val", height=32, width=48, num_images=1)[0]
READERS = {"image.png": read_image, "mask.png": partial(read_label, num_classes=19)}
PIXELS = {"image.png": SCENE.image, "mask.png": SCENE.label}


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_images(amount, tmp_path, record_property):
    outcomes = Counter()
    for name, pixels in PIXELS.items():
        Image.fromarray(pixels).save(tmp_path / f"whole-{name}")
    for case in range(CASES[amount]):
        rng = random.Random(f"images {case}")
        name = rng.choice(list(PIXELS))
        path, expected = tmp_path / name, PIXELS[name]
        what, content = mutations.bytes_of((tmp_path / f"whole-{name}").read_bytes(), rng)
        path.write_bytes(content)

        def is_right(pixels, expected=expected):
            return np.array_equal(pixels, expected)

        outcomes[judged(f"case {case}: {name}: {what}", partial(READERS[name], path), is_right, str(path))] += 1
    assert outcomes["named error"] > 0
    tell(record_property, "images", outcomes)
