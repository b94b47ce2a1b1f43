"""The model card of a network that is shared: `README.md` with a header in YAML, as the Hugging Face Hub reads it.

It holds what is recorded and nothing else: a network without a record has a card without scores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from segattn.zoo.card import bullets, millions, of_network, of_trunk, percent
from segattn.zoo.entry import Entry

_FENCE = 3 * "-"
"""Around what the hub reads of a card."""

RESAMPLES = 10_000
_FEWEST_IMAGES = 10
"""With fewer images there is no interval, as in reports."""
_BLOCK = 2_000_000
"""Image draws in memory at once."""

TERMS = {
    "ade20k": "https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/",
    "camvid": "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
    "cityscapes": "https://www.cityscapes-dataset.com/license/",
    "coco_stuff": "https://cocodataset.org/#termsofuse",
    "voc": "http://host.robots.ox.ac.uk/pascal/VOC/",
}
"""Where the terms of use of a data set stand."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What a card is written from."""

    where: str
    """What `load_model` takes: `hf://user/name`, or a folder."""
    experiment: Mapping[str, Any]
    """As in config.json."""
    class_names: Sequence[str]
    parameters: int
    entry: Entry | None = None
    """Of a network of the zoo."""
    record: Any = None
    """The `records.RunRecord` of a run; None where there is none."""
    interval: tuple[float, float] | None = None
    """95 % interval of the record's mIoU."""
    licence: str | None = None
    """Of the weights, as the hub names licences, such as `cc-by-nc-4.0`."""


def page(facts: Shared) -> str:
    """The card in Markdown."""
    described, scores = facts.experiment["model"], _scores(facts)
    title = f"{described['head']} on {described['backbone']}: semantic segmentation, {len(facts.class_names)} classes"
    lines = [
        _FENCE,
        yaml.safe_dump(_header(facts), sort_keys=False, allow_unicode=True).rstrip(),
        _FENCE,
        "",
        f"# {_plain(title)}",
    ]
    lines += ["", *_use(facts), "", "## Scores", ""]
    if scores is None:
        lines += ["No scores are recorded for these weights."]
    else:
        each = [(_plain(name), f"{percent(iou)} %" if iou is not None else percent(iou)) for name, iou in _iou(facts)]
        lines += [*bullets(scores), "", "IoU of each class:", "", *bullets(each)]
    sections = {
        "Network and cost": _network(facts),
        "Training": _training(facts),
        "Data, licence and limits": _data(facts),
    }
    for heading, section in sections.items():
        lines += ["", f"## {heading}", "", *bullets([(label, _plain(text)) for label, text in section])]
    return "\n".join(lines) + "\n"


def interval(confusion: np.ndarray, *, resamples: int = RESAMPLES) -> tuple[float, float] | None:
    """95 % interval of mIoU over images: percentiles of a bootstrap over the images, drawn from seed 0.

    `confusion` has the counts of each image, integers (images, label, prediction). None for fewer than 10 images.
    """
    num_images = len(confusion)
    if num_images < _FEWEST_IMAGES:
        return None
    top = np.diagonal(confusion, axis1=1, axis2=2).astype(np.float64)  # (images, K)
    bottom = confusion.sum(1) + confusion.sum(2) - top
    rng, drawn, rows = np.random.default_rng(0), [], max(1, _BLOCK // num_images)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        draws = rng.integers(0, num_images, (count, num_images)) + num_images * np.arange(count)[:, None]
        weights = np.bincount(draws.ravel(), minlength=count * num_images).reshape(count, num_images)
        below = weights @ bottom  # (resamples, K)
        drawn.append(
            np.nanmean(np.divide(weights @ top, below, out=np.full_like(below, np.nan), where=below > 0), axis=1)
        )
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
    return float(low), float(high)


def _header(facts: Shared) -> dict[str, Any]:
    head, dataset = facts.experiment["model"]["head"], _dataset(facts)
    header: dict[str, Any] = {"library_name": "segattn", "pipeline_tag": "image-segmentation"}
    if facts.licence is not None:
        header["license"] = facts.licence
    header["tags"] = ["semantic-segmentation", "attention", "pytorch", head]
    if _scores(facts) is not None:
        score = facts.entry.mean_iou if facts.entry else facts.record.scores.mean_iou
        task = {"type": "image-segmentation", "name": "Semantic segmentation"}
        data = {"type": dataset, "name": dataset, "split": "val" if facts.entry else facts.record.split}
        metric = {"type": "mean_iou", "name": "mIoU", "value": round(score, 6)}
        header["model-index"] = [{"name": head, "results": [{"task": task, "dataset": data, "metrics": [metric]}]}]
    return header


def _use(facts: Shared) -> list[str]:
    modules = {facts.experiment["model"]["head"], facts.experiment["data"]["name"]}
    own = sorted(name.partition(".")[0] for name in modules if "." in name)
    allowed = f", allow_modules=({', '.join(map(repr, own))},)" if own else ""
    allow = "".join(f" --allow-module {name}" for name in own)
    return [
        "```python",
        "import segattn",
        "",
        f'model = segattn.load_model("{facts.where}"{allowed})',
        'labels = segattn.predict(model, "photo.jpg").labels',
        "```",
        "",
        "```sh",
        f"segattn predict {_quoted(facts.where)} PHOTO -o OUT{allow}",
        "```",
        "",
        "The files are `model.safetensors` and `config.json`, which has the digest of the first. Loading them runs no code.",
        *([f"The network needs a module that is not part of segattn: {', '.join(own)}."] if own else []),
    ]


def _scores(facts: Shared) -> list[tuple[str, str]] | None:
    if facts.entry is not None:
        return [(label, text) for label, text in of_network(facts.entry) if label == "mIoU"]
    if facts.record is None:
        return None
    record, scores = facts.record, facts.record.scores
    between = ""
    if facts.interval is not None:
        low, high = (f"{100 * limit:.2f}" for limit in facts.interval)
        between = (
            f"; 95 % interval over images {low} to {high} % (bootstrap of {scores.num_images} images, one training run)"
        )
    lines = [
        (
            "mIoU",
            f"{100 * scores.mean_iou:.2f} % on {scores.images} of {record.dataset} {record.split}{between}",
        ),
        ("pixel accuracy", f"{100 * scores.pixel_accuracy:.2f} %"),
        ("mean accuracy", f"{100 * scores.mean_accuracy:.2f} %"),
        ("inference", scores.inference),
        ("definition", scores.definition),
    ]
    if record.strata is not None and record.strata.boundary_mean_iou is not None:
        lines.insert(3, ("mean boundary IoU", f"{100 * record.strata.boundary_mean_iou:.2f} %"))
    if record.without_attention is not None:
        without = record.without_attention
        what = f"{100 * without.mean_iou:.2f} % with the mechanism cut out ({without.replacement} in its place)"
        lines.insert(3, ("mIoU without attention", what))
    return [(label, _plain(text)) for label, text in lines]


def _iou(facts: Shared) -> list[tuple[str, float | None]]:
    """The IoU of each class by its name, as recorded."""
    if facts.entry is not None:
        return list(zip(facts.entry.class_names, facts.entry.iou, strict=True))
    return list(zip(facts.record.class_names, facts.record.scores.iou, strict=True))


def _network(facts: Shared) -> list[tuple[str, str]]:
    described = facts.experiment["model"]
    lines = [
        ("head", f"{described['head']}, mode {described['mode']}"),
        ("backbone", f"{described['backbone']} at output stride {described['output_stride']}"),
        ("parameters", f"{millions(facts.parameters)} M"),
    ]
    if (cost := getattr(facts.record, "cost", None)) is not None:
        height, width = cost.input_size
        parts = {"network": cost.network, "head": cost.head_total, "mechanism": cost.mechanism}
        each = ", ".join(f"{name} {part.macs / 1e9:.2f}" for name, part in parts.items())
        lines.append((f"GMACs at {height}x{width}", f"{each} (multiply-adds of products and convolutions, one image)"))
    return lines


def _training(facts: Shared) -> list[tuple[str, str]]:
    settings, entry, record = facts.experiment["optimization"], facts.entry, facts.record
    height, width = facts.experiment["augmentation"]["crop_size"]
    lines = [
        ("protocol", f"{settings['iterations']:,} iterations of {settings['batch_size']} crops of {height}x{width}, "
                     f"{settings['optimizer']}, learning rate {settings['lr']:g}, seed {facts.experiment['seed']}"),
    ]  # fmt: skip
    started = facts.experiment.get("init_from") or facts.experiment["model"].get("pretrained")
    lines.append(("started from", str(started or "random weights")))
    if entry is not None:
        known = ("seed", "trained with", "machine", "date")
        lines += [pair for pair in of_network(entry) if pair[0] in known[1:]]
    elif record is not None:
        place = record.environment
        lines += [
            ("experiment", f"{record.experiment}; every setting stands in config.json"),
            (
                "time",
                f"{record.train_seconds / 3600:.2f} h on {place.device if place.device != 'cpu' else place.processor}",
            ),
            ("software", f"segattn {place.segattn}, torch {place.torch}, precision {place.precision}"),
        ]
        lines += [("date", record.created)] if record.created else []
    return lines


def _data(facts: Shared) -> list[tuple[str, str]]:
    if facts.entry is not None:
        return [pair for pair in of_trunk(facts.entry) if pair[0] in ("data", "limits")]
    dataset = _dataset(facts)
    terms = f"terms of use: {TERMS[dataset]}" if dataset in TERMS else "its licence is not known to segattn"
    if dataset == "streets":
        terms = "street scenes that segattn generates; they need no licence and show no person"
    licence = (
        facts.licence or "not stated; the terms of the data may restrict the use of weights that were trained on them"
    )
    limits = (
        "scores hold for images like those of the validation split; with other cameras or places they can be far lower"
    )
    return [("data", f"{dataset}; {terms}"), ("licence of the weights", licence), ("limits", limits)]


def _dataset(facts: Shared) -> str:
    if facts.entry is not None:
        return str(facts.entry.scenes["name"])
    return str(facts.record.dataset if facts.record is not None else facts.experiment["data"]["name"])


def _plain(text: str) -> str:
    """Text of a file on one line, without what Markdown or HTML would read as a sign of its own."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return re.sub(r"([\\|`*\[\]])", r"\\\1", line).replace("<", "&lt;")


def _quoted(where: str) -> str:
    return where if re.fullmatch(r"[\w@:/.+-]+", where) else "'" + where.replace("'", "'\\''") + "'"
