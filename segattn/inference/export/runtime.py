"""An exported file as a network for prediction and evaluation: ONNX Runtime for .onnx, torch for .pt2."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from segattn import config, records
from segattn.config import Evaluation
from segattn.inference.export import archive
from segattn.inference.export.facts import Facts, from_strings
from segattn.inference.export.form import SUFFIXES, need
from segattn.records import integrity

PathLike = str | os.PathLike[str]
Graph = Callable[[Tensor], Tensor]


def is_exported(where: object) -> bool:
    """Whether this names an exported file, by its suffix; a folder of that name is none."""
    if not isinstance(where, str | os.PathLike):
        return False
    path = Path(where)
    return path.suffix in SUFFIXES and not path.is_dir()


class ExportedModel(nn.Module):
    """A file that `segattn export` wrote, as a network in eval mode: images as its attributes say, to logits of their size.

    It has the attributes of a `SegmentationModel` that prediction and evaluation use. A graph of labels has the method `labels`.
    """

    def __init__(
        self, path: Path, facts: Facts, graph: Graph, sizes: tuple[int | None, ...], device: torch.device
    ) -> None:
        super().__init__()
        self.path, self.facts, self.graph, self.sizes = path, facts, graph, sizes
        self.device_holder = nn.Parameter(
            torch.empty(0, device=device), requires_grad=False
        )  # where images are moved to
        self.class_names, self.palette, self.num_classes = facts.classes, facts.palette, len(facts.classes)
        self.align_corners, self.in_channels = facts.align_corners, facts.in_channels
        if facts.preprocessing:  # images then enter in [0, 1]
            self.mean, self.std, self.channel_order = (0.0,) * self.in_channels, (1.0,) * self.in_channels, "rgb"
        else:
            self.mean, self.std, self.channel_order = facts.mean, facts.std, facts.channel_order
        self.experiment: config.Experiment | None = None
        self.image_range = None  # an exported file does not say what its training images were like
        if facts.labels:
            self.labels = self._labels  # `predict_labels` asks for it by name
        self.eval()

    def train(self, mode: bool = True) -> ExportedModel:
        """Keep the network in eval mode.

        Raises:
            ValueError: `mode` is True.
        """
        if mode:
            raise ValueError(f"{self.path} cannot be trained; train the network that it was exported from")
        return super().train(mode)

    def check(self, inference: Evaluation, *, needs_scores: str = "") -> None:
        """Raise ValueError where the graph returns labels and scores are needed: for these settings, or for `needs_scores`."""
        if not self.facts.labels:
            return
        asked = {
            "a sliding window": inference.mode == "slide",
            "flip": inference.flip,
            "other scales": inference.scales != (1.0,),
            "short_side": inference.short_side is not None,
            needs_scores: bool(needs_scores),
        }
        if named := [what for what, is_asked in asked.items() if is_asked]:
            raise ValueError(
                f"{self.path} returns labels, and {' and '.join(named)} need logits; export the network again without "
                "--labels, or label whole images in one pass (--mode whole)"
            )

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        """Logits at the images' size.

        Raises:
            ValueError: the graph returns labels, or does not take this size.
        """
        self.check(Evaluation(), needs_scores="class scores")
        return self._run(images, (len(images), self.num_classes, *images.shape[-2:])).float()

    def _labels(self, images: Float[Tensor, "B C H W"]) -> Integer[Tensor, "B H W"]:
        """Class indices; errors as `forward`."""
        with torch.no_grad():
            return self._run(images, (len(images), *images.shape[-2:]))

    def _run(self, images: Tensor, shape: tuple[int, ...]) -> Tensor:
        batch, height, width = self.sizes
        H, W = images.shape[-2:]
        if (height or H, width or W) != (H, W):
            raise ValueError(
                f"{self.path} takes images of {height or 'any'}x{width or 'any'} (height x width) only, not {H}x{W}: "
                "use --mode slide with a --crop-size of that, or export the network again: segattn export takes any size"
            )
        if batch not in (None, 1, len(images)):
            raise ValueError(f"{self.path} takes batches of {batch} only, not {len(images)}; export the network again")
        if self.facts.preprocessing:
            images = images.mul(255).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous()
        parts = images.split(1) if batch == 1 else (images,)
        try:
            output = torch.cat([self.graph(part) for part in parts]).to(images.device)
        except Exception as error:  # of ONNX Runtime and torch
            if "alloc" in str(error) or "memory" in str(error):
                raise MemoryError from None
            line = integrity.one_line(error)
            raise ValueError(
                f"{self.path} does not take {len(images)} x {H}x{W} pixels (height x width): {line}"
            ) from None
        if tuple(output.shape) != shape:
            raise ValueError(
                f"{self.path} returned the shape {tuple(output.shape)}, not {shape}; export the network again"
            )
        return output


def load_exported(
    where: PathLike, *, device: str | torch.device = "cpu", allow_modules: Iterable[str] | None = ()
) -> ExportedModel:
    """An exported file, ready for `segattn.predict`; no code in it is run.

    `device` is `auto` too: the GPU if there is one and the file's runtime can use it, which for .onnx needs the package
    onnxruntime-gpu. `allow_modules` is as in `load_model`; None: nothing that the file
    names is opened, so it may name anything.

    Raises:
        ValueError: no such file, a damaged one, one of another tool, or a package is not installed.
    """
    path = Path(where)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name of an exported file ends with {' or '.join(SUFFIXES)}")
    try:
        records.regular_size(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; segattn export RUN -o {path} writes it") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable ({error.strerror})") from None
    chosen = _device(path, str(device))
    facts, graph, sizes = (_onnx if path.suffix == ".onnx" else _pt2)(path, chosen)
    model = ExportedModel(path, facts, graph, sizes, chosen)
    if facts.experiment is not None:
        try:
            model.experiment = config.from_dict(facts.experiment, allow_modules=allow_modules)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return model


def _device(path: Path, device: str) -> torch.device:
    """The torch device for auto, cpu or cuda.

    Raises:
        ValueError: cuda, and torch or ONNX Runtime has none.
    """
    if path.suffix == ".onnx":
        need("onnxruntime", what=f"{path}")
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError(f"device {device} was asked for, but torch sees no GPU; use cpu")
    if path.suffix == ".onnx":
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            if device == "auto":
                return torch.device("cpu")
            raise ValueError(f"{path}: this ONNX Runtime has no CUDA; use device cpu, or install onnxruntime-gpu")
    return torch.device("cuda" if device == "auto" else device)


def _onnx(path: Path, device: torch.device) -> tuple[Facts, Graph, tuple[int | None, ...]]:
    import onnxruntime

    providers = ["CUDAExecutionProvider"] * (device.type == "cuda") + ["CPUExecutionProvider"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    # Its threads would wait busily for 20 ms after a pass: torch, on the same cores, would take half as long again.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=providers)
    except Exception as error:  # ONNX Runtime's own types
        fault = "not a readable ONNX file, it may be truncated" if _is_damage(error) else "ONNX Runtime cannot run it"
        raise ValueError(f"{path}: {fault} ({integrity.one_line(error)})") from None
    facts = _named(path, lambda: from_strings(session.get_modelmeta().custom_metadata_map))
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    if len(shape) != 4 or len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise ValueError(f"{path}: its graph has other inputs or outputs than segattn writes; export the network again")
    fixed = [extent if isinstance(extent, int) else None for extent in shape]
    sizes = (fixed[0], fixed[1], fixed[2]) if facts.preprocessing else (fixed[0], fixed[2], fixed[3])

    def graph(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: np.ascontiguousarray(images.cpu().numpy())})[0])

    return facts, graph, sizes


def _is_damage(error: Exception) -> bool:
    return "protobuf" in str(error).lower() or "INVALID_PROTOBUF" in str(error)


def _pt2(path: Path, device: torch.device) -> tuple[Facts, Graph, tuple[int | None, ...]]:
    program, raw = archive.read_file(path)
    facts = _named(path, lambda: from_strings(raw))
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, str(device))
    module = program.module()  # not a submodule of ours: it refuses eval()
    return facts, lambda images: module(images), (None, None, None)


def _named(path: Path, read: Callable[[], Facts | None]) -> Facts:
    """The facts; errors name the file."""
    try:
        facts = read()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if facts is None:
        raise ValueError(
            f"{path}: no metadata of segattn (classes, mean, std): it was written by another tool; write one with "
            "segattn export RUN -o net.onnx"
        )
    return facts
