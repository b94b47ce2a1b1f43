"""Whatever lies where a file should: one line that names it, no traceback, no hang, and no more memory than the file is worth."""

from __future__ import annotations

import json
import os
import random
import resource
import socket
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segattn import catalogue, data, records, report
from segattn.backbones import pretrained
from segattn.cli import main
from segattn.data.files import decode
from segattn.data.files.plain import read_plain
from segattn.demo import pictures
from segattn.report.study.pictures import read_picture
from tests.trust.conftest import change
from tests.trust.outcomes import tell

pytestmark = pytest.mark.timeout(60, func_only=True)  # a hang; without the training of the networks
GIBIBYTE = 2**30


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    """A file of endless zeros."""
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        here = os.open(path.parent, os.O_RDONLY)
        end.bind(f"/proc/self/fd/{here}/{path.name}")  # a socket's path may have 107 bytes
        os.close(here)


def large(path: Path) -> None:
    """5 GB, all of it a hole."""
    path.touch()
    os.truncate(path, 5 * 10**9)


def deep_lists(path: Path) -> None:
    path.write_text("[" * 100_000 + "]" * 100_000)


def deep_mappings(path: Path) -> None:
    path.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def deep_setting(path: Path) -> None:
    """Shallow enough for a parser, too deep for code that walks through it."""
    path.write_text('{"experiment": {"model": {"head_options": ' + '{"a":' * 900 + "1" + "}" * 903)


def circle(path: Path) -> None:
    """A link to itself, which many places take for no file at all."""
    path.symlink_to(path.name)


def unreadable_text(path: Path) -> None:
    path.write_bytes(b'{"kind": "run", "a": "\xff\xfe"}')


def empty(path: Path) -> None:
    path.touch()


def list_as_kind(path: Path) -> None:
    path.write_text('{"kind": ["run"], "schema": {}}')


BAD = (
    pipe,
    folder,
    device,
    listening,
    large,
    deep_lists,
    deep_mappings,
    deep_setting,
    circle,
    unreadable_text,
    empty,
    list_as_kind,
)


def put(bad: Callable[[Path], None], path: Path) -> Path:
    """The bad file in place of the good one."""
    path.unlink(missing_ok=True)
    bad(path)
    return path


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """No more than 2 GiB above what the tests take already: a file is not worth more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GIBIBYTE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


READERS: dict[str, Callable[[Path], object]] = {
    "json": catalogue.read_json,
    "record": records.read,
    "arrays": records.read_arrays,
    "settings.json": lambda path: read_plain(path, "JSON"),
    "image": decode.read_image,
    "mask": decode.open_mask,
    "upload": lambda path: pictures.upload(path, 512),
    "weights": pretrained.read,
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_name_what_is_no_file_of_theirs(
    reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bad in BAD:
        if reader in ("json", "settings.json") and bad is list_as_kind:  # which is JSON
            continue
        path = put(bad, tmp_path / f"{bad.__name__}.json")
        with pytest.raises((ValueError, OSError)) as error:
            READERS[reader](path)
        message = str(error.value)
        assert path.name in message, (bad.__name__, message)
        assert "\n" not in message
    print(f"{reader}: {len(BAD)} bad files, each refused by name")


@pytest.mark.parametrize("reader", ["json", "record", "arrays", "image"])
def test_name_with_a_nul_is_an_error_that_shows_it(reader: str) -> None:
    with pytest.raises((ValueError, OSError), match=r"NUL|x00"):
        READERS[reader](Path("a\0b.json"))


PLACES = {
    "config.json": [["predict", "{run}", "{photo}", "-o", "{out}"], ["evaluate", "{run}"],
                    ["maps", "{run}", "--image", "{photo}", "--pixel", "1,1", "-o", "{out}.png"],
                    ["convert", "to-mmseg", "{run}", "-o", "{out}.pth"]],
    "model.safetensors": [["predict", "{run}", "{photo}", "-o", "{out}"], ["evaluate", "{run}"]],
    "experiment.json": [["train", "{file}", "-o", "{run}", "--device", "cpu"]],
    "record.json": [["report", "{run}", "-o", "{out}"], ["report", "{study}", "-o", "{out}"],
                    ["compare", "{run}", "{study}/fcn-faithful-s0", "-o", "{out}"],
                    ["plan", "{study}", "--budget", "1GFLOPs", "--heads", "fcn"]],
    "per_image.npz": [["compare", "{run}", "{study}/fcn-faithful-s0", "-o", "{out}"]],
    "../study.json": [["report", "{study}", "-o", "{out}"]],
    "../bench.json": [["report", "{study}", "-o", "{out}"]],
}  # fmt: skip


@pytest.mark.long("pipe")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("bad", [bad for bad in BAD if bad is not circle], ids=lambda bad: bad.__name__)
def test_commands_end_with_one_line(
    place: str, bad: Callable[[Path], None], copy: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy / "ccnet-faithful-s0"
    put(bad, run / place)
    names = {"run": run, "study": copy, "photo": photo, "out": copy / "out", "file": copy.parent / "tiny.json"}
    names["file"].write_text((copy / "fcn-faithful-s0/experiment.json").read_text())
    for command in PLACES[place]:
        assert main([word.format(**names) for word in command]) == 2, command
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1, printed
        assert Path(place).name in printed or str(run) in printed, printed


@pytest.mark.slow
def test_report_goes_on_without_pictures_that_cannot_be_read(copy: Path, tmp_path: Path) -> None:
    """Links out of the study's folder, pipes, devices, programs, bombs, names with a NUL: a note in place of the picture."""
    outside = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(outside)
    run = copy / "ccnet-faithful-s0"
    prediction = json.loads((run / "record.json").read_text())["examples"][0]["prediction"]
    cases: dict[str, Callable[[Path], None]] = {bad.__name__: bad for bad in BAD}
    cases["link"] = lambda path: path.symlink_to(outside)
    cases["program"] = lambda path: path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    )
    cases["bomb"] = bomb
    cases |= dict.fromkeys(("parent", "absolute", "nul"), empty)
    named = {"parent": "../../secret.png", "absolute": str(outside), "nul": "a\0b.png"}
    for name, case in cases.items():
        put(case, run / prediction)
        picture, problem = read_picture(run, named.get(name, prediction))
        assert picture is None, name
        leads_out = name in ("link", "device", "circle", "parent", "absolute", "nul")
        expected = (
            "outside the study's folder"
            if leads_out
            else "9000 pixels; at most"
            if name == "bomb"
            else "is not readable"
        )
        assert expected in problem, (name, problem)
        if name != "bomb":
            (run / prediction).rmdir() if (run / prediction).is_dir() else (run / prediction).unlink()
    page = report.build(copy, tmp_path / "out")["report.html"].read_text()
    assert f"{Path(prediction).name} is missing" in page
    print(f"{len(cases)} pictures refused")


def bomb(path: Path) -> None:
    """A PNG that says it has 81 million pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 9_000, 9_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(10**6)))]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(content)


def link_record(copy: Path, elsewhere: Path) -> None:
    (copy / "ccnet-faithful-s0/record.json").unlink()
    (copy / "ccnet-faithful-s0/record.json").symlink_to(elsewhere / "record.json")


def name_record(copy: Path, elsewhere: Path) -> None:
    change(copy / "study.json", lambda raw: raw.update(runs=["../elsewhere/record.json"]))


def name_absolute(copy: Path, elsewhere: Path) -> None:
    change(copy / "study.json", lambda raw: raw.update(runs=[str(elsewhere / "record.json")]))


def name_nul(copy: Path, elsewhere: Path) -> None:
    change(copy / "study.json", lambda raw: raw.update(runs=["a\0b/record.json"]))


def link_without_study(copy: Path, elsewhere: Path) -> None:
    (copy / "study.json").unlink()
    link_record(copy, elsewhere)


def link_study(copy: Path, elsewhere: Path) -> None:
    (copy / "study.json").rename(elsewhere / "study.json")
    (copy / "study.json").symlink_to(elsewhere / "study.json")


OUTSIDE = (link_record, name_record, name_absolute, name_nul, link_without_study, link_study)


@pytest.mark.parametrize("lead_out", OUTSIDE, ids=lambda lead_out: lead_out.__name__)
def test_records_outside_the_study_are_not_read(
    lead_out: Callable[[Path, Path], None], copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "record.json").write_bytes((copy / "fcn-faithful-s0/record.json").read_bytes())
    lead_out(copy, elsewhere)
    assert main(["report", str(copy), "-o", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "outside the study's folder" in printed or "a link out of" in printed


# Arrays ----------------------------------------------------------------------------------------------------------------
def npz(path: Path, content: bytes, *, name: str = "confusion.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return path


def header(shape: str, dtype: str = "<i8") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


ARRAYS = {
    "a size that it does not have": header("(1000000000000,)"),
    "a negative size": header("(-8,)") + bytes(64),
    "more sizes than fit": header("(2,) * 999"),
    "objects": header("(1,)", "|O") + b"cos\nsystem\n(S'touch ran'\ntR.",
    "a header of brackets": b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 0x2000,
    "no header": b"\x93NUMPY\x09\x00" + bytes(64),
    "nothing": b"",
}


@pytest.mark.parametrize("what", ARRAYS)
def test_array_with(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"counts\.npz: not readable as arrays \("):
        records.read_arrays(npz(tmp_path / "counts.npz", ARRAYS[what]))
    assert not (tmp_path / "ran").exists()


def test_archive_that_unpacks_to_more_than_the_limit_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segattn.records.files.ARRAY_BYTES", 10**6)
    path = npz(tmp_path / "counts.npz", header("(1000000,)", "|u1") + bytes(10**6))
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match=r"arrays of 1,000,128 bytes; at most 1,000,000 are read"):
        records.read_arrays(path)


def test_archive_whose_list_says_less_than_it_unpacks_to_ends_at_the_size_in_the_list(tmp_path: Path) -> None:
    path = npz(tmp_path / "counts.npz", header("(1000000,)", "|u1") + bytes(10**6))
    content = path.read_bytes()
    path.write_bytes(content.replace((1_000_128).to_bytes(4, "little"), (136).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="not readable as arrays"):
        records.read_arrays(path)


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "names": np.array(["a", "Köln"]),
        "counts": rng.integers(0, 9, (2, 3, 5)),
        "turned": np.asfortranarray(rng.normal(size=(3, 5))),
        "none": np.zeros((0, 4), np.uint8),
        "scalar": np.array(7),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "arrays.npz", **arrays)
        read = records.read_arrays(tmp_path / "arrays.npz")
        assert read.keys() == arrays.keys()
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            assert np.array_equal(read[name], array)


def test_arrays_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segattn.records.files._BLOCK_BYTES", 100)
    counts = np.arange(77).reshape(7, 11)  # 88 bytes a row
    turned = np.asfortranarray(counts)
    np.savez_compressed(
        tmp_path / "arrays.npz", counts=counts, turned=turned, none=np.zeros((0, 4)), scalar=np.array(7)
    )
    with records.open_arrays(tmp_path / "arrays.npz") as arrays:
        assert arrays["counts"].shape == (7, 11)
        for name, parts in (("counts", 7), ("turned", 1), ("none", 1), ("scalar", 1)):
            blocks = list(arrays[name].blocks())
            assert len(blocks) == parts
            whole = blocks[0] if parts == 1 else np.concatenate(blocks)
            assert np.array_equal(whole, arrays[name].read())


def test_array_cut_short_is_named_when_it_is_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, counts=np.random.default_rng(0).integers(0, 9, (50, 50)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with (
        records.open_arrays(path) as arrays,
        pytest.raises(ValueError, match=r"arrays\.npz: not readable as arrays \("),
    ):
        list(arrays["counts"].blocks())


def numbers(cases: int) -> list[int]:
    return list(range(cases))


@pytest.mark.parametrize("cases", [20, pytest.param(400, marks=pytest.mark.long)])
def test_mutated_arrays_are_read_or_named(
    cases: int, study: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Flipped bits, cuts and repeats in a run's counts: the same arrays, or one line."""
    original = (study / "ccnet-faithful-s0/per_image.npz").read_bytes()
    path, outcomes = tmp_path / "per_image.npz", Counter[str]()
    whole = records.read_arrays(study / "ccnet-faithful-s0/per_image.npz")
    for number in numbers(cases):
        path.write_bytes(mutated(original, random.Random(number)))
        try:
            read = records.read_arrays(path)
        except ValueError as error:
            outcomes["named error" if str(error).startswith(str(path)) else "unnamed error"] += 1
        else:  # the bit is in a date, or in a name
            assert all(np.array_equal(read[name], whole[name]) for name in read.keys() & whole.keys())
            outcomes["right"] += 1
    tell(record_property, "arrays", outcomes)
    assert outcomes["right"] + outcomes["named error"] == cases


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with up to three bits flipped, cut off, or with a part of it repeated."""
    at = rng.randrange(len(content))
    kind = rng.randrange(4)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[at // 2 : at] + content[at:]
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("cases", [20, pytest.param(400, marks=pytest.mark.long)])
def test_mutated_records_are_read_or_named(
    cases: int, study: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same for records, and some values replaced by others of JSON: a report, or one line."""
    original = (study / "ccnet-faithful-s0/record.json").read_bytes()
    run, outcomes = tmp_path / "run", Counter[str]()
    run.mkdir()
    for number in numbers(cases):
        rng = random.Random(number)
        content = mutated(original, rng) if number % 2 else replaced(original, rng)
        (run / "record.json").write_bytes(content)
        try:
            report.load(run)
            outcomes["right"] += 1
        except ValueError as error:
            outcomes["named error" if str(run) in str(error) else "unnamed error"] += 1
    tell(record_property, "records", outcomes)
    assert outcomes["right"] + outcomes["named error"] == cases


VALUES = (None, True, -1, 10**30, 1e308, "", "\0", "../..", [], {}, [[]], ["\ud800"[:0]], {"a": {}})


def replaced(content: bytes, rng: random.Random) -> bytes:
    """A record in which one value, anywhere, is another one."""
    raw = json.loads(content)
    place = raw
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = rng.choice(list(keys))
        inside = place[key]
        if not (isinstance(inside, dict | list) and inside) or rng.random() < 0.2:
            place[key] = rng.choice(VALUES)
            return json.dumps(raw).encode()
        place = inside


# Settings and data ---------------------------------------------------------------------------------------------------------
YAML = {
    "aliases of aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "depth": "[" * 2_000 + "]" * 2_000,
    "a tag that makes objects": "!!python/object/apply:os.system ['touch ran']",
    "a date that is none": "a: 2020-13-45",
    "a key that is a list": "? [a]\n: b",
    "no UTF-8": "\udcff",
    "more than a YAML file holds": "a: 1\n" * 300_000,
}


@pytest.mark.long("experiment")
@pytest.mark.parametrize("what", YAML)
@pytest.mark.parametrize("place", ["experiment", "classes"])
def test_yaml_with(
    what: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("tiny.yaml" if place == "experiment" else "classes.yaml")
    path.write_text(YAML[what], errors="surrogateescape")
    command = (
        ["train", str(path)] if place == "experiment" else ["data", "check", "folder", "--data-root", str(tmp_path)]
    )
    assert main(command) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert path.name in printed
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_index_of_packed_images(bad: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    put(bad, tmp_path / "val/index.json")
    with pytest.raises(ValueError, match=r"index\.json"):
        data.load("packed", "val", root=tmp_path)


@pytest.mark.parametrize("kind", ["image", "video"])
def test_postscript_is_not_run_and_a_pipe_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(ValueError, match="PostScript is a program"):
        decode.read_image(path)


def test_message_is_one_line_whatever_the_name_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\nb\x1b[31m\u202ec\udcff.json"
    assert main(["report", str(tmp_path / name)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.isascii() or printed.rstrip("\n").isprintable()
    assert r"a b\x1b[31m\u202ec\udcff.json" in printed
