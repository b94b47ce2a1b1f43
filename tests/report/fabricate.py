"""A synthetic study: ten heads, any number of seeds, invented numbers that hang together. Nothing here was measured."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from segattn import records
from segattn.evaluation.evaluate import strata_scores
from segattn.records import (
    Cost,
    CurvePoint,
    Environment,
    Example,
    FullyTrained,
    HeadFacts,
    Look,
    Looks,
    PartCost,
    RunRecord,
    Scores,
    Start,
    StudyRecord,
    WithoutAttention,
)

CLASSES = [
    ("road", (128, 64, 128), 0.97, 36), ("sidewalk", (244, 35, 232), 0.84, 6), ("building", (70, 70, 70), 0.91, 22),
    ("wall", (102, 102, 156), 0.52, 0.7), ("fence", (190, 153, 153), 0.55, 0.9), ("pole", (153, 153, 153), 0.49, 1.2),
    ("traffic light", (250, 170, 30), 0.6, 0.2), ("traffic sign", (220, 220, 0), 0.71, 0.6),
    ("vegetation", (107, 142, 35), 0.91, 16), ("terrain", (152, 251, 152), 0.61, 1.1), ("sky", (70, 130, 180), 0.94, 4),
    ("person", (220, 20, 60), 0.77, 1.2), ("rider", (255, 0, 0), 0.55, 0.15), ("car", (0, 0, 142), 0.93, 7),
    ("truck", (0, 0, 70), 0.65, 0.3), ("bus", (0, 60, 100), 0.74, 0.24), ("train", (0, 80, 100), 0.53, 0.23),
    ("motorcycle", (0, 0, 230), 0.54, 0.1), ("bicycle", (119, 11, 32), 0.72, 0.4),
]  # fmt: skip
"""Name, colour, how well it is recognised, share of the pixels in per cent."""
LOOKALIKE = {"wall": "building", "fence": "wall", "pole": "building", "train": "bus", "bus": "truck", "truck": "car",
             "rider": "person", "motorcycle": "bicycle", "terrain": "vegetation"}  # fmt: skip
HEADS = {
    "fcn": (0.0, 0.0, 174.9, 1.0), "non_local": (1.9, 100.5, 545.2, 1.4), "danet": (2.5, 118.0, 563.0, 1.6),
    "dnlnet": (2.2, 100.6, 545.3, 1.4), "denoised_nl": (2.9, 8.54, 402.0, 1.3), "reconet": (1.4, 0.66, 265.0, 1.1),
    "flanet": (3.1, 19.8, 590.4, 2.1), "emanet": (1.7, 14.2, 314.3, 1.2), "isanet": (1.9, 43.7, 231.5, 1.2),
    "ccnet": (2.1, 16.6, 461.1, 1.5),
}  # fmt: skip
"""Gain in points over FCN, GFLOPs of the mechanism and of the head, relative training time."""
GROWTH = {"non_local": (2, 2), "ccnet": (1.5, 1.5), "flanet": (1, 0.5), "reconet": (1, 1), "danet": (2, 2)}
"""Declared exponents of time and memory, of some."""


def facts(head: str) -> HeadFacts:
    """What a head declares: fcn is the baseline, psp and aspp have context without attention."""
    baseline = head == "fcn"
    family = "baseline" if baseline else "pyramid" if head in ("psp", "aspp") else "invented"
    return HeadFacts(family=family, baseline=baseline, growth=GROWTH.get(head))


ENVIRONMENT = Environment(
    segattn="0.1.0", commit="0123abc", python="3.11.2", torch="2.13.0", system="Linux 6.1 x86_64", processor="Synthetic CPU",
    device="cpu", threads=2, precision="fp32",
)  # fmt: skip
DEFINITION = (
    "IoU of a class is TP / (TP + FP + FN) over all pixels of the split in one confusion matrix, ignored pixels left out;"
    " mIoU is its mean over the classes that occur in labels or predictions."
)


def confusion(gain: float, rng: np.random.Generator, pixels: int = 1_000_000) -> np.ndarray:
    """Row = label: most pixels right, the rest to the class that looks alike and to its neighbours."""
    names = [name for name, *_ in CLASSES]
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    for row, (name, _, quality, share) in enumerate(CLASSES):
        count = round(pixels * share / 100)
        recall = min(0.995, math.sqrt(quality) + gain / 100 * (2 * (1 - quality) + 0.3) + rng.normal(0, 0.006))
        wrong = round(count * (1 - recall))
        weights = np.full(len(names), 0.2 / len(names))
        weights[names.index(LOOKALIKE.get(name, "building" if name != "building" else "vegetation"))] += 0.8
        weights[row] = 0
        matrix[row] = np.floor(wrong * weights / weights.sum())
        matrix[row, row] += count - matrix[row].sum()
    return matrix


def image_counts(matrix: np.ndarray, rng: np.random.Generator, num_images: int = 53) -> dict[str, np.ndarray]:
    """The matrix dealt out to images, as per_image.npz has it; every network gets the same labels."""
    labels, K = np.random.default_rng(17), len(matrix)
    confusion = np.zeros((num_images, K, K), dtype=np.int64)
    for row, line in enumerate(matrix):
        left = labels.multinomial(line.sum(), labels.dirichlet(np.full(num_images, 0.7)))
        for column, count in enumerate(line):
            confusion[:, row, column] = rng.multivariate_hypergeometric(left, count, method="marginals")
            left = left - confusion[:, row, column]
    right, pixels = confusion.diagonal(axis1=1, axis2=2), confusion.sum(2)
    union = pixels + confusion.sum(1) - right
    boundary = np.stack([right // 3, union // 2], axis=1)
    by_stratum = np.zeros((num_images, 2, K, 3, 3), dtype=np.int64)
    for index, part in enumerate((pixels, right)):
        small = part * (5 - 2 * index) // 50
        by_stratum[:, index, :, 0, 0] = small
        by_stratum[:, index, :, 1, 1] = part // 4
        by_stratum[:, index, :, 2, 2] = part - small - part // 4
    return {"confusion": confusion, "boundary": boundary, "strata": by_stratum,
            "names": np.array([f"street_{index:03d}" for index in range(num_images)])}  # fmt: skip


def scores(matrix: np.ndarray, num_images: int = 53) -> Scores:
    """Scores of a confusion matrix; classes that occur nowhere have none."""
    true, predicted, right = matrix.sum(1), matrix.sum(0), matrix.diagonal()
    union = true + predicted - right
    iou = [float(r / u) if u else None for r, u in zip(right, union, strict=True)]
    accuracy = [float(r / t) if t else None for r, t in zip(right, true, strict=True)]
    present, seen = [v for v in iou if v is not None], [v for v in accuracy if v is not None]
    return Scores(
        mean_iou=sum(present) / len(present), pixel_accuracy=float(right.sum() / matrix.sum()),
        mean_accuracy=sum(seen) / len(seen), iou=iou, accuracy=accuracy, confusion=matrix.tolist(), num_images=num_images,
        definition=DEFINITION, inference="whole image, one scale, no flip",
    )  # fmt: skip


def part(gflops: float, parameters: int) -> PartCost:
    """A part whose conventions are in the right proportions."""
    macs = round(gflops * 1e9 / 2)
    return PartCost(parameters=parameters, macs=macs, flops=2 * macs, study=2 * macs + macs // 500, other=macs // 90,
                    activation_bytes=macs // 12)  # fmt: skip


def cost(head: str, size: tuple[int, int], backbone: str = "resnet101", scale: float = 1.0) -> Cost:
    """Cost of a head at a size; unknown heads cost what FCN does."""
    _, mechanism, total, _ = HEADS.get(head, HEADS["fcn"])
    area = scale * size[0] * size[1] / 769**2
    body = 846.1
    return Cost(
        head=head, mode="faithful", backbone=backbone, output_stride=8, num_classes=len(CLASSES), input_size=size,
        mechanism=part(mechanism * area, round(mechanism * 3e4)), head_total=part(total * area, round(total * 4e4)),
        network=part((body + total) * area, round((42.5e6 + total * 4e4) * scale)),
    )  # fmt: skip


def scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """A street of flat shapes as (photograph, coloured label)."""
    width, height = size
    colour = {name: value for name, value, *_ in CLASSES}
    label = Image.new("RGB", size, colour["building"])
    draw = ImageDraw.Draw(label)
    draw.rectangle([0, 0, width, height * 0.22], fill=colour["sky"])
    draw.polygon(
        [(0, height), (width * 0.42, height * 0.5), (width * 0.58, height * 0.5), (width, height)], colour["road"]
    )
    for _ in range(9):
        name = str(rng.choice(["car", "bus", "train", "person", "vegetation", "wall", "fence"]))
        x, y, w = rng.uniform(0, 0.9) * width, rng.uniform(0.4, 0.6) * height, rng.uniform(0.05, 0.16) * width
        draw.rectangle([x, y, x + w, y + w * 0.8], fill=colour[name])
    for x in rng.uniform(0, width, 4):
        draw.rectangle([x, height * 0.2, x + max(1, width // 160), height * 0.75], fill=colour["pole"])
    photograph = np.asarray(label, dtype=float) * 0.5 + 70 + rng.normal(0, 12, (height, width, 1))
    return Image.fromarray(photograph.clip(0, 255).astype(np.uint8)), label


def predict(label: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The label, shifted in places."""
    values = np.asarray(label).copy()
    for _ in range(6):
        row = int(rng.integers(0, values.shape[0]))
        values[row : row + values.shape[0] // 12] = np.roll(
            values[row : row + values.shape[0] // 12], rng.integers(1, 9), 1
        )
    return Image.fromarray(values)


def run(head: str, seed: int, folder: Path, *, with_cost: bool = True, images: int = 2, **changes: object) -> RunRecord:
    """Write one run into `folder` and return it; `changes` replace fields of the record."""
    gain, _, _, time = HEADS.get(head, (1.0, 1.0, 200.0, 1.0))
    rng = np.random.default_rng([seed, *head.encode()])
    examples = []
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    for index in range(images):
        photograph, label = scene(np.random.default_rng(index), (64, 32))
        names = {kind: f"examples/{index}_{kind}.png" for kind in ("image", "label", "prediction")}
        for kind, picture in zip(names, (photograph, label, predict(label, rng)), strict=True):
            picture.save(folder / names[kind])
        examples.append(Example(name=f"street_{index:03d}", **names))
    curve = [
        CurvePoint(
            iteration=i, loss=3 * math.exp(-i / 90) + 0.5 - gain / 40 + float(rng.normal(0, 0.06)),
            lr=0.01 * (1 - i / 401) ** 0.9, mean_iou=0.6 - 0.5 * math.exp(-i / 100) + gain / 100 if i % 100 == 0 else None,
        )
        for i in range(10, 401, 10)
    ]  # fmt: skip
    config = {
        "name": "synthetic", "seed": seed,
        "model": {"head": head, "mode": "faithful", "backbone": "resnet18", "output_stride": 8, "head_options": {}},
        "optimization": {"iterations": 400, "batch_size": 4, "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4},
        "augmentation": {"crop_size": [97, 193], "scale_range": [0.5, 2.0], "flip": 0.5},
        "evaluation": {"mode": "whole", "flip": False},
    }  # fmt: skip
    matrix = confusion(gain, rng)
    counts = image_counts(matrix, rng)
    np.savez_compressed(folder / "per_image.npz", **counts)
    record = RunRecord(
        experiment="synthetic", head=head, mode="faithful", seed=seed, dataset="streets", split="val",
        class_names=[name for name, *_ in CLASSES], palette=[colour for _, colour, *_ in CLASSES], ignore_index=255,
        config=config, scores=scores(matrix), per_image="per_image.npz",
        strata=strata_scores(counts["confusion"], counts["boundary"], counts["strata"]),
        curve=curve, iterations=400, train_seconds=31.0 * time + seed,
        evaluate_seconds=4.1, environment=ENVIRONMENT, examples=examples,
        cost=cost(head, (97, 193), "resnet18", 0.12) if with_cost else None, created="2026-01-02T03:04:05Z",
        head_facts=facts(head),
    )  # fmt: skip
    record = dataclasses.replace(record, **changes)  # type: ignore[arg-type]
    records.write(record, folder / "record.json")
    return record


def study(folder: Path, heads: list[str] | None = None, seeds: int = 3, *, with_cost: bool = True) -> Path:
    """Write a whole study and return its folder."""
    heads = list(HEADS) if heads is None else heads
    names = []
    for head in heads:
        for seed in range(seeds):
            name = f"{len(names):02d}-faithful-s{seed}"
            run(head, seed, folder / name, with_cost=with_cost)
            names.append(f"{name}/record.json")
    costs = [cost(head, size) for head in heads for size in ((769, 769), (520, 520))] if with_cost else []
    record = StudyRecord(
        experiment="synthetic",
        command="segattn study synthetic --seeds 3",
        runs=names,
        costs=costs,
        environment=ENVIRONMENT,
        head_facts={head: facts(head) for head in heads},
    )
    records.write(record, folder / "study.json")
    return folder


def add_looks(folder: Path, *, trunk: str = "", **changes: object) -> None:
    """Add two pictures of where networks look to a study; `changes` replace fields of the first."""
    (folder / "looks").mkdir()
    pictures = []
    for number, name in enumerate(("traffic light", "bus")):
        photograph, _ = scene(np.random.default_rng(number), (64, 32))
        photograph.save(folder / f"looks/image-{number}.png")
        photograph.resize((1400, 700)).save(folder / f"looks/{number}.png")
        pictures.append(
            Look(
                picture=f"looks/{number}.png", photo=f"looks/image-{number}.png", image=f"street_{number:03d}",
                pixel=(20 + number, 10), class_name=name, reason=f"The rule that chose the {name}.",
                networks=["ccnet", "danet", "isanet"],
            )
        )  # fmt: skip
    pictures[0] = dataclasses.replace(pictures[0], **changes)  # type: ignore[arg-type]
    looks = Looks(trunk=trunk, seed=None if trunk else 0, key="0", pictures=pictures)
    path = folder / "study.json"
    records.write(dataclasses.replace(records.read(path), looks=looks), path)


GATES = {
    "ccnet": ["gamma"],
    "danet": ["position.gamma", "channel.beta"],
    "non_local": ["bn.weight"],
    "flanet": ["gamma"],
}


def add_contribution(folder: Path, heads: list[str] | None = None) -> None:
    """Add gates, and scores without the mechanism, to every run below `folder` (of `heads` only); the baseline has neither.

    Without it every class loses an eighth of its pixels to the class that looks alike.
    """
    for path in sorted(folder.rglob("record.json")):
        record = records.read(path)
        if record.head == "fcn" or record.head not in (heads or HEADS):
            continue
        with np.load(path.with_name("per_image.npz")) as stored:
            counts = dict(stored)
        lost = counts["confusion"].diagonal(axis1=1, axis2=2) // 8  # (images, K)
        cut, index = counts["confusion"].copy(), np.arange(len(CLASSES))
        names = [name for name, *_ in CLASSES]
        alike = np.array(
            [names.index(LOOKALIKE.get(name, "building" if name != "building" else "vegetation")) for name in names]
        )
        cut[:, index, index] -= lost
        cut[:, index, alike] += lost
        np.savez_compressed(path.with_name("per_image.npz"), **counts, confusion_without=cut)
        of_cut, strata = scores(cut.sum(0)), record.strata
        without = WithoutAttention(
            replacement="mean" if record.head in ("isanet", "reconet") else "identity",
            mean_iou=of_cut.mean_iou, iou=of_cut.iou, boundary_mean_iou=strata.boundary_mean_iou - 0.05,
            sizes={stratum.name: stratum.mean_iou - 0.02 for stratum in strata.sizes},
            widths={stratum.name: stratum.mean_iou - 0.03 for stratum in strata.widths},
        )  # fmt: skip
        gates = {
            name: (-1) ** record.seed * 0.1 * (number + 1) for number, name in enumerate(GATES.get(record.head, []))
        }
        records.write(dataclasses.replace(record, without_attention=without, gates=gates), path)


COLD = ("emanet", "isanet", "reconet", "denoised_nl")
"""Heads whose invented mechanism is not the identity at its start."""


def add_start(folder: Path, trunk: str = "streets-local") -> None:
    """Let every run below `folder` start from a trunk of the zoo, whose fully trained networks are 10 points better; the zoo has
    no danet.
    """
    reached = {}
    for path in sorted(folder.rglob("record.json")):
        record = records.read(path)
        reached.setdefault(record.head, record.scores.mean_iou + 0.1)
        identity = None if record.head == "fcn" else record.head not in COLD
        start = Start(from_pretrained=f"backbone from {trunk} of segattn zoo", init_head="trunk", identity=identity)
        records.write(dataclasses.replace(record, start=start), path)
    networks = [
        FullyTrained(name=f"{trunk}/{head}", head=head, mode="faithful", mean_iou=mean_iou, num_images=200)
        for head, mean_iou in reached.items()
        if head != "danet"
    ]
    study_record = records.read(folder / "study.json")
    records.write(dataclasses.replace(study_record, fully_trained=networks), folder / "study.json")
