"""Our heads and mmsegmentation's own, with the same weights; needs mmsegmentation in an environment of its own.

python -m venv VENV && VENV/bin/pip install -c constraints.txt torch onedl-mmsegmentation onedl-mmcv
SEGATTN_MMSEG_PYTHON=VENV/bin/python python -m pytest -m optin tests/convert
"""

import os

import pytest
import torch

from segattn import checkpoint, config
from segattn.convert.mmseg_file import export_file
from segattn.model import build_model
from tests.convert.compare_mmseg import BASES, CASES, differences, reference

PYTHON = os.environ.get("SEGATTN_MMSEG_PYTHON")
TOLERANCE = 1e-4  # of logits whose deviation is about 1; another order of summation in 50 layers gives some 1e-6

pytestmark = [
    pytest.mark.optin,
    pytest.mark.skipif(PYTHON is None, reason="SEGATTN_MMSEG_PYTHON names no Python that has mmsegmentation"),
]


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_mmsegmentation(case):
    largest = differences(reference(CASES[case], PYTHON))
    tolerance = max(TOLERANCE, largest["rounding"] / 10)  # above 1e-4 for ISANet, which magnifies rounding most
    assert 0.3 < largest["scale"] < 30
    assert largest["exact"] < 1e-8  # mmsegmentation keeps DNL's temperature in float32, which is 4e-9 of the logits
    assert largest["logits"] < tolerance
    assert largest["upsampled"] < tolerance
    assert largest["training"] < tolerance
    assert largest["after"] < tolerance


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("head", BASES)
def test_mmsegmentation_loads_what_we_write(head, align_corners, tmp_path):
    torch.manual_seed(0)
    network = config.Model(head=head, backbone="resnet18", align_corners=align_corners, head_options={"channels": 64})
    model = build_model(network, 3).eval()
    for parameter in model.parameters():
        if parameter.ndim < 2:  # scalars and norms, of which many start at 0 or 1
            torch.nn.init.normal_(parameter, mean=0.5, std=0.2)
    experiment = config.Experiment(name="written", model=network)
    colors = [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    checkpoint.save_model(model, tmp_path / "run", experiment=experiment, class_names=["a", "b", "c"], palette=colors)
    text = export_file(tmp_path / "run", tmp_path / "written.pth")
    computed = reference({"text": text, "weights": str(tmp_path / "written.pth"), "size": [65, 97]}, PYTHON)
    with torch.no_grad():
        logits = model(computed["image"])
    assert logits.std() > 1e-3
    error = (logits - computed["upsampled"]).abs().max() / logits.abs().max()
    assert error < 1e-5
