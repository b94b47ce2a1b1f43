"""What is known of a network of the zoo, and its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from segattn.catalogue import read_bytes, read_json, regular_size

FACTS = "zoo.json"
"""The file with the facts of a trunk's networks."""
FORMAT = 1
"""The version of that file."""
_ADVICE = "install segattn again"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of weights."""

    path: Path
    size_bytes: int
    sha256: str
    dtype: str
    """How tensors of two dimensions or more are stored, such as `fp16`; the others are float32."""

    def verified(self) -> Path:
        """The path, after its size and SHA-256 were compared.

        Raises:
            ValueError: the file is missing, truncated or changed.
        """
        if not self.path.is_file():
            raise ValueError(f"{self.path}: no such file, but {FACTS} beside it names it; {_ADVICE}")
        size = regular_size(self.path)
        if size != self.size_bytes:
            raise ValueError(f"{self.path}: {size:,} bytes, not the {self.size_bytes:,} that {FACTS} says; {_ADVICE}")
        if hashlib.sha256(read_bytes(self.path, most=size)).hexdigest() != self.sha256:
            raise ValueError(f"{self.path}: changed since it was packed (another SHA-256 than in {FACTS}); {_ADVICE}")
        return self.path


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One network of the zoo. All networks of a trunk share its backbone, their classes and the scenes that score them."""

    # Of the trunk -------------------------------------------------------------------------------------------------------
    trunk: str
    trunk_file: File
    trunk_command: str
    """The command that trained the trunk."""
    receptive_field: int
    """Side in pixels of the square that one position of the backbone's last map sees."""
    backbone_parameters: int
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    scenes: dict[str, Any] = field(hash=False)
    """Settings (`config.Data`) that generate the validation scenes."""

    # Of the network -----------------------------------------------------------------------------------------------------
    name: str
    """`TRUNK/HEAD` for controlled, `TRUNK/HEAD-MODE` for other modes."""
    head: str
    mode: str
    seed: int
    head_file: File
    """The file with its head; `trunk_file` for the network that is the trunk itself."""
    experiment: dict[str, Any] = field(hash=False)
    """The experiment as trained, as `config.to_dict` writes it; its data may lie in a packed copy of the scenes."""
    head_parameters: int
    mean_iou: float
    """On all `num_images` validation scenes, from the run's record; in [0, 1]."""
    iou: tuple[float | None, ...]
    """Per class; None where the class occurs neither in labels nor in predictions."""
    num_images: int
    first_images: int
    first_mean_iou: float
    """On the first `first_images` validation scenes, with the stored weights in fp32 arithmetic."""
    command: str
    """The command that trained it."""
    machine: str
    date: str
    """Of the end of training, ISO 8601."""

    def __str__(self) -> str:
        return self.name

    @property
    def facts_file(self) -> Path:
        """The zoo.json that holds this entry."""
        return self.head_file.path.parent / FACTS

    @property
    def parameters(self) -> int:
        """Parameters of backbone and head."""
        return self.backbone_parameters + self.head_parameters

    @property
    def own_bytes(self) -> int:
        """Bytes that it takes beside its trunk."""
        return 0 if self.head_file == self.trunk_file else self.head_file.size_bytes

    @property
    def scored(self) -> dict[str, Any]:
        """The experiment with the generated scenes as its data: what a user can evaluate without a packed copy."""
        return {**self.experiment, "data": self.scenes}


OF_TRUNK = ("trunk", "trunk_file", "trunk_command", "receptive_field", "backbone_parameters", "class_names", "palette",
            "scenes")  # fmt: skip
"""Fields that all networks of a trunk share."""


def read(folder: Path) -> list[Entry]:
    """The networks of a trunk's folder, in the order of its zoo.json.

    Raises:
        ValueError: no zoo.json, a damaged one, or one of another format.
    """
    path = folder / FACTS

    def located(kind: type, name: Any) -> Path:
        return folder / name

    try:
        raw = read_json(path)
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']}, this version of segattn reads {FORMAT}")
        entries = [
            msgspec.convert({**raw["of_trunk"], **network}, Entry, dec_hook=located) for network in raw["networks"]
        ]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {_ADVICE}") from None
    except KeyError as error:
        raise ValueError(f"{path}: no {error}; {_ADVICE}") from None
    except (ValueError, TypeError) as error:  # among them msgspec's
        raise ValueError(f"{path}: {error}; {_ADVICE}") from None
    if not entries:
        raise ValueError(f"{path}: no networks; {_ADVICE}")
    return entries


def encode(entries: Sequence[Entry]) -> bytes:
    """The zoo.json of a trunk with these networks; file names are relative to its folder."""

    def name(path: Any) -> str:
        return path.name

    raw = [msgspec.to_builtins(entry, enc_hook=name) for entry in entries]
    of_trunk = {key: raw[0][key] for key in OF_TRUNK}
    assert all({key: network.pop(key) for key in OF_TRUNK} == of_trunk for network in raw)
    document = {"format": FORMAT, "of_trunk": of_trunk, "networks": raw}
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
