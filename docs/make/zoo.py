"""Pack finished runs into segattn/zoo/: python -m docs.make.zoo TRUNK_RUN HEAD_RUN ... --name streets-local

TRUNK_RUN trained backbone and FCN head; each HEAD_RUN (or study) trained another head on that backbone, frozen. The backbone is
stored once. Tensors of two dimensions or more are rounded to fp16 or bf16, whichever loses less; all others stay float32, among
them the statistics of batch norms. Networks of the same trunk that were packed before stay. The folder is replaced as a whole.

With the packed trunk itself as TRUNK_RUN, such as segattn/zoo/streets-local, heads that were trained on it are added; trunk,
scenes and name stay as they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from docs.make.training_command import command_of
from docs.make.zoo_run import TYPES, Run, Trunk, check, measured, read_run, stored, tensors
from segattn import checkpoint, config, zoo
from segattn.profile.markdown import markdown_table
from segattn.zoo import card
from segattn.zoo.entry import FACTS, OF_TRUNK, encode

SCENES = {"name": "streets", "size": [256, 512], "val_images": 200}
FIRST = 20
"""Validation scenes that the tests score: few, and every class occurs in them."""


def pack(
    trunk_run: Path,
    head_runs: Sequence[Path],
    *,
    name: str,
    root: Path = zoo.ROOT,
    scenes: Mapping[str, Any] = SCENES,
    first: int = FIRST,
    command: str | None = None,
    trunk_command: str | None = None,
    replace_trunk: bool = False,
    say: Callable[[str], object] = print,
) -> Path:
    """Write the folder `root/name` with the trunk and its networks; returns it.

    `scenes` are the settings (`config.Data`) that generate the scenes of the runs' validation split. `command` trained the heads,
    with {head}, {mode} and {seed} in it; by default it is worked out from the experiment of that name. A head run of the trunk's
    own head takes the place of the trunk's network.

    Raises:
        ValueError: a run is not finished, has another backbone than the trunk, other classes or scenes, or the name of another
            run; rounding costs accuracy; the packed trunk would change; the zoo would be too large. Nothing is written then.
    """
    if scenes["name"] != "streets":
        raise ValueError(f"scenes of {scenes['name']}: the zoo ships networks of generated scenes only (streets)")
    trunk = read_run(trunk_run)
    by_name = {trunk.network: trunk} | _named(head_runs, beside=trunk_run)
    shared = Trunk.of_run(trunk)
    for run in by_name.values():
        check(run, shared, scenes)
    with _replacing(root, name) as (folder, temporary):
        trunk_file = _write(shared.weights, temporary / "trunk.safetensors")
        of_trunk = {
            **{"trunk": name, "trunk_file": trunk_file, "scenes": dict(scenes)},
            "trunk_command": trunk_command or command_of(trunk.experiment),
            "receptive_field": trunk.model.backbone.receptive_field,
            "backbone_parameters": _count(trunk.model.backbone),
            "class_names": tuple(trunk.record.class_names),
            "palette": tuple(trunk.record.palette),
        }
        entries = []
        for run in by_name.values():
            head_file = trunk_file if run is trunk else _write_head(run, temporary)
            template = trunk_command if run is trunk else command
            entries.append(_entry(run, of_trunk, head_file, first, template, say))
        _describe(temporary, trunk.record.head, entries, _packed_before(folder, entries, replace_trunk))
    return root / name


def add(
    packed: Path,
    head_runs: Sequence[Path],
    *,
    command: str | None = None,
    say: Callable[[str], object] = print,
) -> Path:
    """Add heads that these runs trained on a packed trunk, such as segattn/zoo/streets-local, to its folder; returns it.

    Trunk and scenes stay as they are; a head that is there already is replaced.

    Raises:
        ValueError: no run was given; a run as in `pack`; the zoo would be too large. Nothing is written then.
    """
    packed = packed.absolute()
    _restore(packed.parent, packed.name)
    old = zoo.read(packed)
    by_name, trunk = _named(head_runs), Trunk.of_entry(old[0])
    if not by_name:
        raise ValueError(f"no run was given whose head is to be added to {packed}")
    for run in by_name.values():
        check(run, trunk, old[0].scenes)
    with _replacing(packed.parent, packed.name) as (folder, temporary):
        trunk_file = dataclasses.replace(old[0].trunk_file, path=temporary / old[0].trunk_file.path.name)
        shutil.copyfile(old[0].trunk_file.path, trunk_file.path)
        of_trunk = {field: getattr(old[0], field) for field in OF_TRUNK} | {"trunk_file": trunk_file}
        first = old[0].first_images
        entries = [_entry(run, of_trunk, _write_head(run, temporary), first, command, say) for run in by_name.values()]
        names, same = {entry.name for entry in entries}, {"trunk_file": trunk_file, "head_file": trunk_file}
        own = [dataclasses.replace(each, **same) for each in old if not each.own_bytes and each.name not in names]
        _describe(temporary, old[0].head, [*own, *entries], _packed_before(folder, entries, replace_trunk=False))
    return packed


def _named(head_runs: Sequence[Path], beside: Path | None = None) -> dict[str, Run]:
    """The runs by network, without the run of the trunk."""
    folders = [folder for each in head_runs for folder in checkpoint.find_runs(each)]
    by_name: dict[str, Run] = {}
    for run in (read_run(folder) for folder in folders if beside is None or folder.resolve() != beside.resolve()):
        if run.network in by_name:
            raise ValueError(f"two runs of {run.network}: {by_name[run.network].folder} and {run.folder}; give one")
        by_name[run.network] = run
    return by_name


def _restore(root: Path, name: str) -> None:
    """Bring the folder of a trunk back, where an earlier call ended before its new one took its place."""
    folder, previous = root / name, root / f".{name}.previous"
    if previous.exists() and not folder.exists():
        previous.rename(folder)


@contextmanager
def _replacing(root: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """The folder of a trunk and an empty one beside it, which takes its place unless something is raised."""
    folder, temporary, previous = root / name, root / f".{name}.packing", root / f".{name}.previous"
    _restore(root, name)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield folder, temporary
        _check_size(root, folder, temporary)
        shutil.rmtree(previous, ignore_errors=True)
        if folder.exists():
            folder.rename(previous)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(previous, ignore_errors=True)


def _describe(folder: Path, head: str, new: Sequence[zoo.Entry], before: Sequence[zoo.Entry]) -> None:
    """Write the facts and the page of a trunk: networks packed before keep their places, those of the trunk's head come first."""
    kept = {entry.name for entry in before}
    entries = [*before, *(entry for entry in new if entry.name not in kept)]
    entries.sort(key=lambda entry: (entry.head != head, entry.mode != "controlled", entry.head))
    (folder / FACTS).write_bytes(encode(entries))
    (folder / "README.md").write_text(card.page(entries, markdown_table), encoding="utf-8")


def _entry(
    run: Run,
    of_trunk: Mapping[str, Any],
    head_file: zoo.File,
    first: int,
    template: str | None,
    say: Callable[[str], object],
) -> zoo.Entry:
    """The run as an entry, measured on the first scenes."""
    record, scores = run.record, run.record.scores
    words = {"head": record.head, "mode": record.mode, "seed": record.seed}
    entry = zoo.Entry(
        **of_trunk,
        **words,
        name=f"{of_trunk['trunk']}/{run.network}",
        head_file=head_file,
        experiment=config.to_dict(run.experiment),
        head_parameters=_count(run.model.head),
        mean_iou=scores.mean_iou,
        iou=tuple(scores.iou),
        num_images=scores.num_images,
        first_images=first,
        first_mean_iou=0.0,
        command=template.format(**words) if template else command_of(run.experiment),
        machine=run.machine,
        date=record.created[:10],
    )
    return dataclasses.replace(entry, first_mean_iou=measured(run, entry, say))


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _write(state: Mapping[str, Tensor], path: Path) -> zoo.File:
    data = save(dict(state))
    path.write_bytes(data)
    types = sorted({TYPES[value.dtype] for value in state.values() if value.dtype in TYPES})
    return zoo.File(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), dtype=", ".join(types))


def _write_head(run: Run, folder: Path) -> zoo.File:
    return _write(stored(tensors(run, "head.")), folder / f"{run.network}.safetensors")


def _packed_before(folder: Path, entries: Sequence[zoo.Entry], replace_trunk: bool) -> list[zoo.Entry]:
    """Networks in `folder` that no head run replaces, with their files copied beside the new ones."""
    if not folder.exists():
        return []
    old, first = zoo.read(folder), entries[0]
    if old[0].trunk_file.sha256 != first.trunk_file.sha256:
        if not replace_trunk:
            raise ValueError(
                f"{folder} has another trunk; networks, runs and features of users rest on it. --replace-trunk replaces it, and "
                "drops its networks"
            )
        return []
    names = {entry.name for entry in entries if entry.own_bytes}
    kept = [entry for entry in old if entry.own_bytes and entry.name not in names]
    new = first.facts_file.parent
    for entry in kept:
        shutil.copyfile(entry.head_file.verified(), new / entry.head_file.path.name)
    return [
        dataclasses.replace(
            entry,
            head_file=dataclasses.replace(entry.head_file, path=new / entry.head_file.path.name),
            **{field: getattr(first, field) for field in OF_TRUNK},
        )
        for entry in kept
    ]


def _check_size(root: Path, folder: Path, temporary: Path) -> None:
    others = [path for path in root.glob("[!.]*/*.safetensors") if path.parent != folder]
    total = sum(path.stat().st_size for path in [*others, *temporary.glob("*.safetensors")])
    if total > zoo.MAX_BYTES:
        raise ValueError(f"the zoo would have {total:,} bytes of weights, more than {zoo.MAX_BYTES:,}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trunk_run", type=Path, metavar="TRUNK_RUN")
    parser.add_argument("head_runs", type=Path, nargs="*", metavar="HEAD_RUN")
    parser.add_argument("--command", help="trained the heads, with {head}, {mode}, {seed}; by default worked out")
    new = parser.add_argument_group("of a trunk's run")
    new.add_argument("--name", help="name of the trunk, such as streets-local")
    new.add_argument(
        "--scenes", type=json.loads, help=f"settings of the generated scenes; by default {json.dumps(SCENES)}"
    )
    new.add_argument("--first", type=int, help=f"validation scenes that the tests score; by default {FIRST}")
    new.add_argument("--trunk-command", help="trained the trunk; by default worked out from its experiment")
    new.add_argument("--root", type=Path, help="folder of the trunks; by default segattn/zoo")
    new.add_argument("--replace-trunk", action="store_true", default=None, help="replace a packed trunk that differs")
    chosen = vars(parser.parse_args(arguments))
    trunk_run, head_runs, command = (chosen.pop(name) for name in ("trunk_run", "head_runs", "command"))
    given = {name: value for name, value in chosen.items() if value is not None}
    _restore(trunk_run.parent, trunk_run.name)
    packed = (trunk_run / FACTS).is_file()
    try:
        if packed and given:
            names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(f"{trunk_run} is a packed trunk, which stays as it is; leave out {names}")
        if not packed and "name" not in given:
            raise ValueError("say the trunk's --name, such as streets-local")
        print((add if packed else pack)(trunk_run, head_runs, command=command, **given))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
