"""Which files are to be labelled, and how their outputs are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segattn.data.files import band_files
from segattn.data.files.bands import SUFFIXES as BAND_SUFFIXES
from segattn.data.files.patterns import by_bands
from segattn.data.files.pixels import AS_SHOWN, Reading
from segattn.inference import video

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_WRITTEN = ("-label.png", "-overlay.png", "-confidence.png", "-overlay.mp4")


def find_images(paths: Sequence[Path], out: Path | None = None, how: Reading = AS_SHOWN) -> list[Path]:
    """The image and video files among `paths`; folders are searched one level deep, and earlier results in `out` are skipped.

    Arrays (.npy) are images where `how` names bands, and there are then no videos. Where the bands of an image lie in several
    files, the first one stands for all, and folders are searched with their subfolders.

    Raises:
        ValueError: a path does not exist, a folder has neither images nor videos, or an image lacks a band.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _of_bands(path, how.files) if how.files else _inside(path, out, how)
        elif path.is_file():
            files.append(_whole(path, how))
        else:
            what = "neither a file nor a folder" if path.exists() else "no such file or folder"
            raise ValueError(f"{path}: {what}")
    return list(dict.fromkeys(files)) if how.files else files


def _inside(folder: Path, out: Path | None, how: Reading) -> list[Path]:
    suffixes = SUFFIXES | (video.SUFFIXES if how.bands is None else set(BAND_SUFFIXES))
    inside = sorted(each for each in folder.iterdir() if each.suffix.lower() in suffixes and each.name[0] != ".")
    if out is not None and out.exists() and folder.samefile(out):
        inside = [child for child in inside if not child.name.endswith(_WRITTEN)]
    if not inside:
        known = ", ".join(sorted(suffixes - video.SUFFIXES))
        raise ValueError(f"{folder} has no images ({known}){' and no videos' if how.bands is None else ''}")
    return inside


def _of_bands(folder: Path, patterns: Sequence[str]) -> list[Path]:
    images = by_bands(folder, patterns)
    return [images[name] for name in sorted(images)]


def _whole(path: Path, how: Reading) -> Path:
    """The file that stands for an image of which `path` is one; ValueError if a band is missing."""
    paths = how.paths(path)
    if missing := [str(each) for each in paths if not each.is_file()]:
        raise ValueError(f"{path}: no band {', '.join(missing)} of the same image")
    return paths[0]


def output_names(images: Sequence[Path], how: Reading = AS_SHOWN) -> list[str]:
    """A distinct stem for the outputs of each image: its own, with its folder's name if two images have the same stem.

    Where the bands lie in several files, the stem is the name of the image without that of a band.
    """
    stems = [band_files.image_name(path, how.files) if how.files else path.stem for path in images]
    names = [stem if stems.count(stem) == 1 else f"{path.parent.name}-{path.name}" for stem, path in zip(stems, images)]  # noqa: B905
    return [name if names.count(name) == 1 else f"{number:04d}-{name}" for number, name in enumerate(names)]
