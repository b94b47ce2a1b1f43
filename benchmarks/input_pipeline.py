"""Speed of the input pipeline: from 2048x1024 PNG and its mask to a normalised 769x769 crop, on one core.

    python benchmarks/input_pipeline.py                 ours, packed, and the order of torchvision's references
    python benchmarks/input_pipeline.py --rounds 40 --mmseg PYTHON

Five pipelines over the same files, random scale 0.5 to 2, crop, flip and photometric distortion in each:

ours          segattn.data.TrainingStream from the PNG files, with the extra `fast` (isal, pyspng)
pillow        the same without it
packed        the same from `segattn data pack`
torchvision   decode with Pillow, resize the whole image and mask, crop, flip, jitter the colours, normalise: the order of
              torchvision.transforms.v2's segmentation reference, with the functions that v2 calls for Pillow images (written
              out, because torchvision's compiled part does not load beside CPU torch; brightness, contrast and saturation by
              ImageEnhance and hue by an HSV round trip, each with probability one half as in SSD)
mmseg         mmsegmentation's own transforms (LoadImageFromFile, LoadAnnotations, RandomResize, RandomCrop with
              cat_max_ratio 0.75, RandomFlip, PhotoMetricDistortion, then the data preprocessor's normalisation), if --mmseg
              names a Python that has mmsegmentation; it runs them in a process of its own

Rounds are interleaved, one image of each pipeline at a time, so that other load affects all of them alike. Figures are processor
time with one thread and files in the page cache: medians over images, with quartiles, and ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

SIZE = (1024, 2048)
CROP = 769
SCALES = (0.5, 2.0)
NOISE = 2.7  # levels; brings a generated scene of 2048x1024 to about the 2.3 MB of a Cityscapes PNG


def write_scenes(root: Path, count: int) -> float:
    """Write scenes in Cityscapes' layout with camera noise, so that they compress like photos; returns the mean size in MB."""
    import numpy as np
    from PIL import Image

    from segattn.data import cityscapes
    from segattn.data.tools import make

    make.make("cityscapes", root, images=count, size=SIZE)
    files = sorted((root / "leftImg8bit/train").rglob(f"*{cityscapes.IMAGE_ENDING}"))
    for index, file in enumerate(files):
        pixels = np.asarray(Image.open(file, formats=("PNG",))).astype(np.float32)
        noise = np.random.default_rng(index).normal(0, NOISE, (*SIZE, 1)).astype(np.float32)
        Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)).save(file)
    return sum(file.stat().st_size for file in files) / len(files) / 1e6


def ours(name: str, root: Path, share: float, *, fast: bool = True) -> Callable[[int], object]:
    from segattn import data
    from segattn.config import Augmentation
    from segattn.data.files import png
    from segattn.data.loader import TrainingStream

    stream = TrainingStream(
        data.load(name, "train", root=root),
        Augmentation(crop_size=(CROP, CROP), scale_range=SCALES, max_class_share=share),
        batch_size=1,
        seed=1,
    )
    decoder = png.pyspng
    if fast and name != "packed" and decoder is None:
        raise SystemExit("the row `ours` needs the extra: pip install 'segattn[fast]'")

    def sample(index: int) -> object:
        png.pyspng = decoder if fast else None
        return next(stream.batches(index))

    return sample


def torchvision_order(root: Path) -> Callable[[int], object]:
    import numpy as np
    import torch
    from PIL import Image, ImageEnhance

    from segattn.data import cityscapes

    images = sorted((root / "leftImg8bit/train").rglob(f"*{cityscapes.IMAGE_ENDING}"))
    masks = sorted((root / "gtFine/train").rglob(f"*{cityscapes.IDS_ENDING}"))
    table = torch.tensor([cityscapes.CLASS_OF_ID.get(value, 255) for value in range(256)])
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    def jitter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        for enhance, span in (
            (ImageEnhance.Brightness, 0.125),
            (ImageEnhance.Contrast, 0.5),
            (ImageEnhance.Color, 0.5),
        ):
            if rng.random() < 0.5:
                image = enhance(image).enhance(rng.uniform(1 - span, 1 + span))
        if rng.random() < 0.5:
            hue, saturation, value = image.convert("HSV").split()
            turned = np.asarray(hue) + np.uint8(rng.integers(-18, 19) % 256)
            image = Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
        return image

    def sample(index: int) -> object:
        rng = np.random.default_rng(index)
        place = int(rng.integers(len(images)))
        image = Image.open(images[place], formats=("PNG",)).convert("RGB")
        mask = Image.open(masks[place], formats=("PNG",))
        scale = rng.uniform(*SCALES)
        size = round(image.width * scale), round(image.height * scale)
        image, mask = image.resize(size, Image.Resampling.BILINEAR), mask.resize(size, Image.Resampling.NEAREST)
        if min(size) < CROP:
            grown = max(size[0], CROP), max(size[1], CROP)
            image, mask = image.crop((0, 0, *grown)), mask.crop((0, 0, *grown))
        top, left = (int(rng.integers(extent - CROP + 1)) for extent in (image.height, image.width))
        box = (left, top, left + CROP, top + CROP)
        image, mask = image.crop(box), mask.crop(box)
        if rng.random() < 0.5:
            image, mask = (one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in (image, mask))
        pixels = torch.from_numpy(np.array(jitter(image, rng))).permute(2, 0, 1).contiguous().float().div(255)
        return (pixels - mean) / std, table[torch.from_numpy(np.array(mask)).long()]

    return sample


MMSEG = """
import sys, time, numpy as np, torch, cv2
cv2.setNumThreads(1); torch.set_num_threads(1)
from pathlib import Path
from mmcv.transforms import Compose, RandomFlip, RandomResize, LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, RandomCrop, PhotoMetricDistortion, PackSegInputs
from mmseg.utils import register_all_modules
register_all_modules()
root = Path(sys.argv[1]); crop = int(sys.argv[2])
images = sorted((root / "leftImg8bit/train").rglob("*_leftImg8bit.png"))
masks = sorted((root / "gtFine/train").rglob("*_gtFine_labelIds.png"))
pipeline = Compose([dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(crop, crop), cat_max_ratio=0.75), dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"), dict(type="PackSegInputs")])
mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]; std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
print("ready", cv2.__version__, flush=True)
for line in sys.stdin:
    place = int(line); np.random.seed(place)
    place %= len(images)
    begin = time.process_time()
    out = pipeline(dict(img_path=str(images[place]), seg_map_path=str(masks[place]), label_map=None,
                        reduce_zero_label=False, seg_fields=[]))
    pixels = (out["inputs"][[2, 1, 0]].float() - mean) / std
    print(time.process_time() - begin, flush=True)
"""


class Mmsegmentation:
    """mmsegmentation's transforms in a process of their own, one image at a time."""

    def __init__(self, python: str, root: Path) -> None:
        command = [python, "-c", MMSEG, str(root), str(CROP)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = next(line for line in self._lines() if line.startswith("ready"))

    def _lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield line.strip()
        raise SystemExit(f"the process of mmsegmentation ended with {self.process.wait()}")

    def seconds(self, index: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{index}\n")
        self.process.stdin.flush()
        return float(next(self._lines()))


def timed(sample: Callable[[int], object]) -> Callable[[int], float]:
    def seconds(index: int) -> float:
        begin = time.process_time()
        sample(index)
        return time.process_time() - begin

    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--mmseg", default="", help="a Python with mmsegmentation installed")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    import numpy as np
    import PIL
    import torch

    from segattn.data.tools import pack
    from segattn.profile.markdown import markdown_table

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root, packed = Path(folder, "cityscapes"), Path(folder, "packed")
        megabytes = write_scenes(root, options.images)
        for _ in pack.pack("cityscapes", packed, root=root, splits=["train"]):
            pass
        pipelines = {
            "ours": timed(ours("cityscapes", root, 0.75)),
            "pillow": timed(ours("cityscapes", root, 0.75, fast=False)),
            "packed": timed(ours("packed", packed, 0.75)),
            "torchvision": timed(torchvision_order(root)),
        }
        if options.mmseg:
            pipelines["mmseg"] = Mmsegmentation(options.mmseg, root).seconds
        seconds: dict[str, list[float]] = {name: [] for name in pipelines}
        for turn in range(-3, options.rounds):
            for name, pipeline in pipelines.items():
                took = pipeline(turn + 3)
                if turn >= 0:
                    seconds[name].append(took)
    quartiles = {name: np.percentile(np.array(took) * 1e3, [25, 50, 75]) for name, took in seconds.items()}
    others = [values[1] for name, values in quartiles.items() if name in ("torchvision", "mmseg")]
    print(
        f"PNG of {megabytes:.1f} MB, {options.rounds} rounds, Python {platform.python_version()}, torch {torch.__version__}, "
    )
    print(f"Pillow {PIL.__version__}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    headings = ["pipeline", "ms an image (quartiles)", "images a second and core", "times the faster of the others"]
    rows = [
        [name, f"{middle:.0f} ({low:.0f} to {high:.0f})", f"{1e3 / middle:.1f}", f"{min(others) / middle:.2f}"]
        for name, (low, middle, high) in quartiles.items()
    ]
    print(markdown_table(headings, rows, align="l"))
    if options.out:
        record = {"png_mb": megabytes, "ms": {name: list(map(float, took)) for name, took in quartiles.items()}}
        options.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    sys.exit(main())
