"""timm imports where torchvision is absent or broken; one that works is left alone. Each case is a process of its own."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("timm")

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')\n"
WORKING = {
    "__init__.py": "loaded = True\n",
    "ops/__init__.py": "",
    "ops/misc.py": "class FrozenBatchNorm2d: real = True\n",
    "transforms/__init__.py": "class ToTensor: pass\nclass Compose: pass\n",
    "transforms/functional.py": "class InterpolationMode:\n"
    "    NEAREST = 0; BILINEAR = 1; BICUBIC = 2; BOX = 3; HAMMING = 4; LANCZOS = 5\n",
    "datasets/__init__.py": "CIFAR100 = CIFAR10 = MNIST = KMNIST = FashionMNIST = ImageFolder = object\n",
}
SMALL = "backbones.create('timm:resnet18', output_stride=32)"


def run(code, folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def package(folder, files):
    for name, text in files.items():
        path = folder / "torchvision" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


ABSENT = """
import sys, importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchvision":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
CHECK = f"""
from segattn import backbones
body = {SMALL}
import sys
assert not [name for name in sys.modules if name.startswith("torchvision")]
try:
    import torchvision
except Exception as error:
    print(type(error).__name__, error)
from timm.data.transforms import MaybeToTensor
try:
    MaybeToTensor()
except ImportError as error:
    print(error)
"""


def test_broken_torchvision_does_not_stop_timm_and_stays_broken(tmp_path):
    package(tmp_path, {"__init__.py": BROKEN})
    assert run(CHECK, tmp_path).splitlines() == [
        "RuntimeError operator torchvision::nms does not exist",
        "torchvision.transforms.ToTensor needs a torchvision that imports; it does not here",
    ]


def test_torchvision_that_breaks_in_a_part_is_broken(tmp_path):
    package(tmp_path, {**WORKING, "ops/misc.py": BROKEN})
    code = f"from segattn import backbones\n{SMALL}\nimport sys\nprint('torchvision' in sys.modules)"
    assert run(code, tmp_path) == "False\n"


def test_absent_torchvision_does_not_stop_timm_and_stays_absent(tmp_path):
    assert run(ABSENT + CHECK, tmp_path).splitlines() == [
        "ModuleNotFoundError No module named 'torchvision'",
        "torchvision.transforms.ToTensor needs a torchvision that imports; it does not here",
    ]


def test_torchvision_that_works_is_left_alone(tmp_path):
    package(tmp_path, WORKING)
    code = f"""
import torchvision
before = torchvision
from segattn import backbones
{SMALL}
import sys, torchvision, timm.layers.norm_act
assert torchvision is before is sys.modules["torchvision"]
print(timm.layers.norm_act.FrozenBatchNorm2d.real)
"""
    assert run(code, tmp_path) == "True\n"
