"""A tenth head in one file, as a stranger does it: an empty folder, the installed command, no PYTHONPATH."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.places import ROOT

pytestmark = pytest.mark.slow
COMMAND = Path(sys.executable).with_name("segattn")
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
HEAD = next(block for block in BLOCKS if "class Head" in block)
"""The README's own tenth mechanism."""
PAPER = '''"""A. Stranger: *A tenth mechanism*, nowhere yet.

    Y = X + gamma sum_n w_n (W X)_n
"""

'''
EXPERIMENT = '''"""As small as can be."""

from mylab.sizes import CROP
from segattn.config import Augmentation, Data, Experiment, Model, Optimization


def experiment():
    return Experiment(
        name="small",
        data=Data(name="mylab.scenes", options={"number": 4}),
        augmentation=Augmentation(crop_size=CROP),
        model=Model(backbone="resnet18", align_corners=False, backbone_options={"width": 8}),
        optimization=Optimization(iterations=2, batch_size=2, lr=0.01, precision="fp32"),
    )
'''
SCENES = """from segattn.data import streets


def load(split, *, root=None, number=4):
    return streets.load(split, height=32, width=64, num_images=number)
"""
SIZES = "CROP = (32, 48)\n"
ALLOWED = ("--allow-module", "mylab")
"""What lets a command import the head that a run's file names."""
NETWORK = "from torch import nn\n\n\ndef network():\n    return nn.Conv2d(3, 4, 3)\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The stranger's folder, with files beside the head that must not be taken for installed packages."""
    place = tmp_path_factory.mktemp("stranger")
    (place / "mylab").mkdir()
    files = {"tenth": PAPER + HEAD, "sizes": SIZES, "small": EXPERIMENT, "scenes": SCENES, "network": NETWORK}
    for name, text in files.items():
        (place / "mylab" / f"{name}.py").write_text(text)
    for name in ("numpy", "yaml", "sizes", "tyro"):
        (place / f"{name}.py").write_text(
            "raise SystemExit('a file of the working directory shadows an installed package')\n"
        )
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(place / "photo.png")
    return place


def segattn(folder, *arguments, code=0):
    """Run the command as a shell would; its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module", params=["faithful", "controlled"])
def study(folder, request):
    """A study of the head and the baseline, in one mode."""
    heads = ["--heads", "fcn", "mylab.tenth"]
    place = f"runs/{request.param}"
    printed = segattn(folder, "study", "mylab.small", *heads, "--mode", request.param, "--device", "cpu", "-o", place)
    assert "mylab.tenth" in printed
    return folder / place / f"mylab-tenth-{request.param}-s0"


@pytest.mark.long("faithful")
def test_study_has_a_record_and_a_report(study):
    record = json.loads((study / "record.json").read_text())
    assert (record["head"], record["iterations"]) == ("mylab.tenth", 2)
    assert "mylab.tenth" in (study.parent / "report.html").read_text()


@pytest.mark.long("faithful")  # a study in the other mode has scored, drawn and reported it
def test_evaluate(folder, study):
    assert "mIoU" in segattn(folder, "evaluate", study, "--device", "cpu", *ALLOWED)


@pytest.mark.long("faithful")
def test_maps_show_its_own_map(folder, study):
    out = folder / f"{study.name}.png"
    segattn(folder, "maps", study, "--image", "photo.png", "--pixel", "30,20", "-o", out, "--device", "cpu", *ALLOWED)
    assert min(Image.open(out).size) > 100


@pytest.mark.long("faithful")
def test_predict(folder, study):
    segattn(
        folder, "predict", study, "photo.png", "-o", folder / f"{study.name}-predictions", "--device", "cpu", *ALLOWED
    )
    assert list((folder / f"{study.name}-predictions").rglob("*.png"))


@pytest.mark.long("faithful")
def test_report_of_its_run(folder, study):
    assert "mylab.tenth" in segattn(folder, "report", study, "-o", folder / f"{study.name}-report")


def test_train_takes_its_options(folder):
    arguments = ["--head", "mylab.tenth", "--model.head-options", "sharpness=2.0,channels=8", "-o", "runs/one"]
    assert "mIoU" in segattn(folder, "train", "mylab.small", *arguments, "--device", "cpu")


def test_option_that_it_does_not_have_is_named(folder):
    arguments = ["--head", "mylab.tenth", "--model.head-options", "sharpnes=2.0", "-o", "runs/two"]
    printed = segattn(folder, "train", "mylab.small", *arguments, code=2)
    assert "has no option 'sharpnes'; did you mean sharpness?" in printed
    assert "Traceback" not in printed


def test_flops_tells_its_mechanism_apart(folder):
    printed = segattn(folder, "flops", "--heads", "mylab.tenth", "--backbone", "resnet18", "--input", "64x64")
    assert "mylab.tenth" in printed


def test_flops_of_a_module_beside_it(folder):
    printed = segattn(folder, "flops", "--module", "mylab.network.network", "--input", "32x32")
    assert "Conv2d" in printed or "convolution" in printed


def test_bench_and_plan(folder):
    small = ["--backbone", "resnet18", "--input", "64x64", "--rounds", "2"]
    assert "mylab.tenth" in segattn(folder, "bench", "--heads", "mylab.tenth", *small, "--device", "cpu")
    plan = ["--backbone", "resnet18", "--crop", "64x64", "--batch", "2"]
    assert "mylab.tenth" in segattn(folder, "plan", "--heads", "mylab.tenth", *plan)


def test_heads_explains_and_checks_it(folder):
    assert "A tenth mechanism" in segattn(folder, "heads", "mylab.tenth")
    printed = segattn(folder, "heads", "check", "mylab.tenth")
    assert "0 failed" in printed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mylab.tent", r"did you mean tenth?"),
        ("yourlab.tenth", "no package yourlab is installed"),
        ("mylab.network", "has no class Head; write: class Head(nn.Module)"),
    ],
)
def test_name_that_is_wrong_is_one_line(folder, name, words):
    printed = segattn(folder, "heads", "check", name, code=2)
    assert words in printed
    assert len(printed.strip().splitlines()) == 1


def test_folder_that_an_installed_package_hides_is_said(folder):
    (folder / "rich").mkdir(exist_ok=True)
    (folder / "rich" / "tenth.py").write_text(HEAD)
    printed = segattn(folder, "heads", "rich.tenth", code=2)
    assert "there is no tenth.py in" in printed
