"""Blocks of the guides below `<!-- run -->` do what they say, at reduced size; those of clusters and the hub are only parsed."""

import importlib.util
import re
import shlex

import numpy as np
import pytest
from PIL import Image

import segattn
from segattn.cli import demo, main
from tests.places import ROOT

MARK = "<!-- run -->\n"
PAGES_OF_THEIR_OWN = ("own_data.md", "choose.md", "fine_tuning.md")
"""Pages of which another test runs every block of commands."""
PAGES = ("start.md", "tenth_mechanism.md", "export.md", "attention_maps.md")
QUICK = "--data.size 64x128 --data.train-images 4 --data.val-images 2 --augmentation.crop-size 32x64 --iterations 1 --seeds 1"
SMALL = {
    "study": f"{QUICK} --features.copies 1 --device cpu",
    "maps": "--device cpu",
    "evaluate": "--device cpu",
    "predict": "--device cpu",
}
HEADS = {"start.md": "--heads fcn ccnet", "attention_maps.md": "--heads ccnet danet"}


def blocks(name):
    """Language and text of the marked blocks of a page."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(rf"{MARK}```(\w+)\n(.*?)```", text, re.DOTALL)


def commands(name):
    """The words behind `segattn` of each marked line; what sets up an environment is not run."""
    for language, block in blocks(name):
        for line in block.splitlines() if language in ("sh", "bash") else ():
            if line.startswith("segattn "):
                yield shlex.split(line, comments=True)[1:]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a photo and a folder of one, where the explorer opens no page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("segattn.study.run.reference_costs", lambda names, mode: [])
    (tmp_path / "photos").mkdir()
    for path in ("street.jpg", "photos/one.jpg"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (210, 310, 3), np.uint8)).save(tmp_path / path)
    return tmp_path


def run(words, name):
    """The command at reduced size; the explorer's is only parsed."""
    small = shlex.split(SMALL.get(words[0], ""))
    if words[0] == "study" and "--heads" not in words:
        small += shlex.split(HEADS[name])
    elif words[:2] == ["maps", "--image"]:
        small += ["--heads", "ccnet"]
    if words[0] == "demo":
        assert demo.parse(demo.DemoArguments, words[1:], command="demo").runs == ()
        return
    assert main([*words, *small]) in (None, 0), words


@pytest.mark.parametrize("name", PAGES_OF_THEIR_OWN)
def test_all_commands_of_a_page_with_its_own_test_are_marked(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert len(blocks(name)) == len(re.findall(r"^```sh$", text, re.MULTILINE)) > 1
    assert (ROOT / f"tests/test_{name.removesuffix('.md')}_page.py").is_file()


def test_every_mark_is_before_a_block_of_a_page_that_is_tested():
    marked = {path.name: path.read_text(encoding="utf-8").count(MARK.strip()) for path in (ROOT / "docs").rglob("*.md")}
    assert {name for name, count in marked.items() if count} == {*PAGES, *PAGES_OF_THEIR_OWN}
    assert all(len(blocks(name)) == marked[name] for name in (*PAGES, *PAGES_OF_THEIR_OWN))


@pytest.mark.slow
def test_start(here):
    for words in commands("start.md"):
        run(words, "start.md")
    assert (here / "runs/quick/report.html").is_file()
    assert (here / "runs/quick/compare-ccnet-fcn/compare.html").is_file()
    assert (here / "maps-street-300-200.png").is_file()


@pytest.mark.long
def test_a_tenth_mechanism(here):
    (head,) = re.findall(r"```python\n(\"*[^`]*?class Head.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (here / "mylab").mkdir()
    (here / "mylab/tenth.py").write_text('"""A. Stranger: *A tenth mechanism*.\n\n    Y = X\n"""\n' + head)
    for words in commands("tenth_mechanism.md"):
        run(words, "tenth_mechanism.md")
    assert (here / "runs/quick/mylab-tenth-controlled-s0/record.json").is_file()


@pytest.mark.long
def test_deploy(here):
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnxscript") is None:
        pytest.skip("the extra export is not installed: pip install 'segattn[export]'")
    words = "train quick --head ccnet --out streets/ccnet --evaluation.examples 0 " + QUICK.replace("--seeds 1", "")
    assert main([*words.split(), "--device", "cpu"]) == 0  # a folder comes before the zoo's network of that name
    for words in commands("export.md"):
        run(words, "export.md")
    assert (here / "net.onnx").is_file()
    assert (here / "net.pt2").is_file()
    assert list((here / "labels").glob("*label.png"))


@pytest.mark.slow
def test_what_a_pixel_looks_at(here):
    run(["study", "quick"], "attention_maps.md")
    for words in commands("attention_maps.md"):
        run(words, "attention_maps.md")
    assert (here / "figure.pdf").is_file()
    ((_, text),) = [block for block in blocks("attention_maps.md") if block[0] == "python"]
    names = {"segattn": segattn, "model": segattn.load_model("runs/quick/ccnet-controlled-s0")}
    exec(compile(text, "attention_maps.md", "exec"), names)
    assert names["look"].maps["composed"].values.ndim == 2
