"""Head-only training: a frozen backbone, its feature maps rounded to the type in which they are stored, and the head over them.

The backbone sees one image at a time, whoever computes the maps. So maps from a file, maps computed on the fly for one head and
maps computed once for several heads side by side are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.features import StoredFeatures, absent, in_computing_type
from segattn.data.items import AugmentedCopies, Images, Item, Items, LabelledItems
from segattn.data.loader import Batch
from segattn.device import DTYPES
from segattn.model import SegmentationModel, build_model
from segattn.training import class_weights


class HeadOnly(nn.Module):
    """The network from the frozen backbone's maps to the outputs of training, which the loss upsamples.

    A step of a small head would take twice as long with upsampled logits.
    """

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        outputs = self.model.decode(in_computing_type(features), (), full_size=False)
        assert isinstance(outputs, dict)
        return outputs


class Frozen:
    """A frozen backbone as a function from images to stored maps, with type and precision of the experiment.

    Args:
        stages: indices of the maps that are wanted; the others have no channels.
    """

    def __init__(
        self, backbone: nn.Module, config: Experiment, accelerator: Accelerator, stages: Sequence[int] = (0, 1, 2, 3)
    ) -> None:
        self.backbone, self.stages, self.dtype = backbone, tuple(stages), DTYPES[config.features.dtype]
        self.autocast = accelerator.autocast
        self.memory_format = torch.channels_last if config.optimization.channels_last else torch.contiguous_format

    @torch.no_grad()
    def maps(self, image: Tensor) -> list[Tensor]:
        """The four maps (C_i, H_i, W_i) of one image (3, H, W), on the backbone's device."""
        device = next(self.backbone.parameters()).device
        images = image[None].to(device, memory_format=self.memory_format, non_blocking=True)
        with self.autocast():
            features = self.backbone(images)
        return [x[0].to(self.dtype) if i in self.stages else absent(x.device) for i, x in enumerate(features)]

    def batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches with maps in place of images; batches that have maps already pass through."""
        for batch in batches:
            if "features" in batch:
                yield batch
                continue
            each = [self.maps(image) for image in batch["image"]]
            features = [torch.stack(maps) for maps in zip(*each, strict=True)]
            yield {"features": features, "label": batch["label"], "names": batch["names"], "indices": batch["indices"]}

    def items(self, images: Items) -> FrozenItems:
        """The samples with maps in place of images, computed when they are read."""
        return FrozenItems(self, images)


class FrozenItems:
    """Samples of a split, their maps computed when they are read."""

    def __init__(self, frozen: Frozen, images: Items) -> None:
        self.frozen, self.images = frozen, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: int) -> Item:
        image, label, name, index = self.images[item]
        assert isinstance(image, Tensor)
        return self.frozen.maps(image), label, name, index


@dataclass(frozen=True)
class Source:
    """Where a run's samples come from. Training of the whole network: images, augmented anew. Head-only: stored maps, or maps
    computed on the fly, of a fixed number of augmented copies."""

    train: LabelledItems | None = None
    val: Items | None = None
    frozen: Frozen | None = None

    def batches(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches that the network takes."""
        return batches if self.frozen is None else self.frozen.batches(batches)


def split(
    model: SegmentationModel,
    config: Experiment,
    accelerator: Accelerator,
    opened: tuple[Dataset, Dataset],
    stored: StoredFeatures | None,
) -> tuple[nn.Module, Source]:
    """The part of the network that is trained, and where its samples come from.

    Raises:
        ValueError: stored maps for an experiment that trains the whole network.
    """
    if config.optimization.train == "all":
        if stored is not None:
            raise ValueError(f"{stored.folder} holds feature maps of a frozen backbone; set optimization.train to head")
        return model, Source()
    backbone, (train_set, val_set) = Frozen(model.backbone, config, accelerator), opened
    train: LabelledItems | None = None if stored is None else stored.train
    val: Items | None = None if stored is None else stored.val
    if train is None:
        train = augmented_copies(train_set, config)
    if stored is not None:
        class_weights.keep_counts(train_set, stored.folder)
    if val is None and config.evaluation.one_plain_pass:
        val = backbone.items(Images(val_set, config.network))
    return HeadOnly(model), Source(train, val, backbone)


def augmented_copies(dataset: Dataset, config: Experiment) -> AugmentedCopies:
    """The samples of a head-only training: a fixed number of augmented copies of each image."""
    copies, seed = config.features.copies, config.features.seed
    return AugmentedCopies(dataset, config.augmentation, copies=copies, seed=seed, network=config.network)


def stages_read(experiments: Iterable[Experiment], channels: Sequence[int], num_classes: int) -> tuple[int, ...]:
    """Indices of the backbone's maps that the heads of these experiments read, in training or in evaluation.

    Each head runs once on the meta device; one that cannot is taken to read all four.
    """
    read: set[int] = set()
    for model in {str(experiment.model): experiment.network for experiment in experiments}.values():
        with torch.device("meta"):
            head = build_model(replace(model, pretrained=None, init_head="random"), num_classes).head
            maps = [torch.empty(2, C, 32 // s, 32 // s) for C, s in zip(channels, (1, 2, 2, 2), strict=True)]
            for training in (True, False):
                watched = _Watched(maps)
                try:
                    head.train(training)(watched)
                except Exception:  # whatever a head of somebody else's raises on small or meta tensors
                    return tuple(range(len(maps)))
                read |= watched.read
    return tuple(sorted(read))


class _Watched(Sequence[Tensor]):
    """Maps that remember which of them were read."""

    def __init__(self, maps: list[Tensor]) -> None:
        self.maps, self.read = maps, set[int]()

    def __len__(self) -> int:
        return len(self.maps)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        chosen = range(len(self.maps))[index]
        self.read |= set(chosen) if isinstance(chosen, range) else {chosen}
        return self.maps[index]
