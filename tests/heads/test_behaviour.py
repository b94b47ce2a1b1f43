"""What every head does, whatever its mechanism: the head nobody thought of is tested too.

The checks are those of `segattn heads check`, in `segattn/heads/parts/checks`.
"""

from itertools import product

import pytest
import torch

from segattn import heads
from segattn.heads.parts.checks import CHECKS, Subject, subjects
from segattn.heads.parts.checks.subject import CLASSES, IN_CHANNELS, features

MODES = ["faithful", "controlled"]
HEADS = list(product(heads.names(), MODES))
SUBJECTS = [subject for name, mode in HEADS for subject in subjects(name, mode)]
EACH = [(check, subject) for check in CHECKS for subject in SUBJECTS if check.applies(subject)]


def takes(name: str, mode: str, option: str) -> bool:
    """Whether the head has this option in this mode."""
    return option in heads.options(name, mode=mode)


@pytest.mark.parametrize(
    ("check", "subject"),
    [
        pytest.param(
            check,
            subject,
            marks=[pytest.mark.long("ccnet")] if check.scope == "graph" else [],
            id=f"{check.name}-{subject}",
        )
        for check, subject in EACH
    ],
)
def test_check(check, subject):
    check.run(subject)


@pytest.mark.parametrize(("name", "mode"), HEADS)
def test_only_the_baseline_has_no_attention_maps(name, mode):
    maps = Subject(name, mode).build().eval().attention_maps(features(), (3, 1))
    assert bool(maps) == (heads.declared(heads.module(name).Head, "family") != "baseline")


IDENTITIES = {
    "agent", "ccnet", "danet", "dnlnet", "efficient", "flanet", "large_kernel", "neighborhood", "non_local", "ss2d",
    "star",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(IDENTITIES))
def test_mechanism_that_starts_as_the_identity_makes_the_controlled_head_start_as_the_baseline(name):
    outputs = []
    for which in (name, "fcn"):
        torch.manual_seed(0)
        head = heads.create(which, IN_CHANNELS, CLASSES, mode="controlled", channels=16).eval()
        outputs.append(head(features())["out"])
    assert torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize(("name", "mode"), HEADS)
def test_unknown_option_names_the_nearest(name, mode):
    option = "implementation" if takes(name, mode, "implementation") else "channels"
    if mode == "controlled" and option == "channels":
        with pytest.raises(ValueError, match=rf"head '{name}' has no option 'chanels'"):
            heads.create(name, IN_CHANNELS, CLASSES, mode=mode, chanels=8)
    else:
        with pytest.raises(ValueError, match=rf"has no option '{option[:-1]}'; did you mean {option}\?"):
            heads.create(name, IN_CHANNELS, CLASSES, mode=mode, **{option[:-1]: 8})


@pytest.mark.parametrize(
    ("name", "mode"), sorted({(subject.name, subject.mode) for subject in SUBJECTS if subject.form})
)
def test_unknown_implementation_names_the_known_ones(name, mode):
    with pytest.raises(ValueError, match=r"implementation='fused'.*'auto', 'reference', 'fast'"):
        Subject(name, mode, "fused").build()


def test_unknown_head_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown head 'denoised_n'; did you mean denoised_nl"):
        heads.create("denoised_n", IN_CHANNELS, CLASSES)


def test_unknown_mode_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown mode 'fair'; use one of faithful, controlled"):
        heads.create("fcn", IN_CHANNELS, CLASSES, mode="fair")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "mode"), HEADS)
@pytest.mark.parametrize("channels", [0, -3, 2.5])
def test_a_head_without_channels_is_refused(name, mode, channels):
    message = rf"head '{name}' with channels={channels} is not possible; use a whole number of 1 or more"
    if takes(name, mode, "channels"):
        with pytest.raises(ValueError, match=message):
            heads.create(name, IN_CHANNELS, CLASSES, mode=mode, channels=channels)
    else:
        with pytest.raises(ValueError, match="has no option 'channels'"):
            heads.create(name, IN_CHANNELS, CLASSES, mode=mode, channels=channels)


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("name", heads.names())
def test_an_option_that_is_a_whole_number_has_to_be_one(name, mode):
    options = heads.options(name, mode=mode)
    whole = [option for option, parameter in options.items() if type(parameter.default) is int and option != "channels"]
    for option in whole:
        for value in (1.5, True, "3", -1):
            with pytest.raises(ValueError, match=option):
                heads.create(name, IN_CHANNELS, CLASSES, mode=mode, channels=16, **{option: value})


def test_an_option_below_zero_by_default_may_be_below_zero(tmp_path, monkeypatch):
    (tmp_path / "negative").mkdir()
    (tmp_path / "negative/lab.py").write_text(
        "from segattn.heads.fcn import Head as Fcn\n\n\nclass Head(Fcn):\n"
        "    def __init__(self, in_channels, num_classes, *, axis: int = -1):\n"
        "        super().__init__(in_channels, num_classes, channels=16)\n        self.axis = axis\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert heads.create("negative.lab", IN_CHANNELS, CLASSES, axis=-1).axis == -1
    with pytest.raises(ValueError, match="axis=-2 is not possible; use a whole number, not below -1"):
        heads.create("negative.lab", IN_CHANNELS, CLASSES, axis=-2)


@pytest.mark.parametrize(("name", "mode"), [head for head in HEADS if takes(*head, "channels")])
@pytest.mark.parametrize("channels", [2, 17])
def test_few_channels_and_a_prime_number_of_them_work(name, mode, channels):
    torch.manual_seed(0)
    head = heads.create(name, IN_CHANNELS, CLASSES, mode=mode, channels=channels).eval()
    logits = head(features(size=(3, 4)))["out"]
    assert logits.shape == (2, CLASSES, 3, 4)
    assert logits.isfinite().all()
