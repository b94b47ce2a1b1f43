"""Every check finds the fault that it is for, in a head of somebody else's."""

import textwrap

import pytest

from segattn import heads
from segattn.heads.parts.checks import CHECKS, Fault, NotDeclared, Subject, subjects

GOOD = """
    import torch
    from torch import nn

    class Mix(nn.Module):
        def __init__(self, channels, *, implementation="auto"):
            super().__init__()
            self.implementation = implementation
            self.gamma = nn.Parameter(torch.zeros(()))
            self.value = nn.Conv2d(channels, channels, 1)

        def forward(self, x):
            return x + self.gamma * self.value(x)

        def maps(self, x, pixel):
            return {"map": x.mean(1)}

    class Head(nn.Module):
        loss_weights = {"out": 1.0}
        Mechanism = Mix
        gates = ("gamma",)
        without_attention = "identity"

        def __init__(self, in_channels, num_classes, *, mechanism=Mix):
            super().__init__()
            self.attention = mechanism(in_channels[-1])
            self.classify = nn.Conv2d(in_channels[-1], num_classes, 1)

        def forward(self, features):
            return {"out": self.classify(self.attention(features[-1]))}

        def attention_maps(self, features, pixel):
            return self.attention.maps(features[-1], pixel)
"""
LAST = 'return {"out": self.classify(self.attention(features[-1]))}'
FAULTS = {
    "outputs_are_logits": (LAST, 'return {"out": self.attention(features[-1])}', r"not \(B, 5, h, w\)"),
    "outputs_are_those_declared": (
        'loss_weights = {"out": 1.0}',
        'loss_weights = {"out": 1.0, "aux": 0.4}',
        "training gives out; loss_weights asks for aux, out",
    ),
    "every_parameter_learns": (
        "self.classify = nn",
        "self.spare = nn.Linear(2, 2); self.classify = nn",
        r"spare\.weight receives no gradient",
    ),
    "samples_do_not_mix": (
        LAST,
        'x = self.attention(features[-1]); return {"out": self.classify(x - x.mean(0))}',
        "sample 0 differs by .* when alone",
    ),
    "forms_agree": (
        "return x + self.gamma * self.value(x)",
        'return x + (1.1 if self.implementation == "fast" else 1) * self.gamma * self.value(x)',
        "fast: .* differs from the reference",
    ),
    "one_position_is_a_map": (
        LAST,
        'x = features[-1]; return {"out": self.classify(x / x.var((2, 3), keepdim=True))}',
        "finite",
    ),
    "half_precision_is_finite": (
        LAST,
        'return {"out": self.classify(self.attention(features[-1])).half() * 3e4}',
        "not finite",
    ),
    "converts_to_other_precisions": (
        LAST,
        'return {"out": self.classify(self.attention(features[-1])).float()}',
        "float64",
    ),
    "state_dict_carries_everything": (
        LAST,
        'self.n = getattr(self, "n", 0) + self.training; return {"out": self.classify(self.attention(features[-1])) + self.n}',
        "a loaded state dict predicts something else",
    ),
    "copies_are_independent": (
        "self.classify = nn.Conv2d(in_channels[-1], num_classes, 1)",
        "Shared = type('Shared', (nn.Conv2d,), {'__deepcopy__': lambda self, memo: self}); "
        "self.classify = Shared(in_channels[-1], num_classes, 1)",
        "a deep copy shares tensors",
    ),
    "features_are_left_alone": (
        LAST,
        'return {"out": self.classify(self.attention(features[-1].mul_(2)))}',
        "in place",
    ),
    "attention_maps_are_maps": ('return {"map": x.mean(1)}', 'return {"map": x}', r"map map at \(0, 0\) has the shape"),
    "surroundings_are_the_same": ("torch.zeros(()))", "torch.ones(()))", "does not start as the identity"),
    "compiles": (LAST, 'print(end=""); torch._dynamo.graph_break(); ' + LAST, "cannot make one graph"),
    "compiled_gradients_agree": (
        LAST,
        "k = 2 if torch.compiler.is_compiling() else 1; "
        'return {"out": k * self.classify(self.attention(features[-1]))}',
        "the gradient of .* differs",
    ),
    "exports": (
        LAST,
        "torch._dynamo.graph_break(); assert features[-1].shape[2] == 9; " + LAST,
        "refuses dynamic height",
    ),
}


@pytest.fixture
def head(tmp_path, monkeypatch):
    """Writes a head into a package of its own and gives its dotted name."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        package = f"lab_{abs(hash(text))}"
        (tmp_path / package).mkdir()
        (tmp_path / package / "tenth.py").write_text(textwrap.dedent(text))
        return f"{package}.tenth"

    return write


def outcomes(check, name):
    """What the check raises, in every mode and form that it is asked of."""
    for mode in heads.modes(name):
        for subject in subjects(name, mode):
            if check.applies(subject):
                check.run(subject)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_good_head_passes(check, head):
    outcomes(check, head(GOOD))


def test_every_check_has_a_fault_that_it_finds():
    assert set(FAULTS) == {check.name for check in CHECKS}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_fault_is_found_and_named(check, head):
    line, bad, words = FAULTS[check.name]
    assert line in GOOD
    name = head(GOOD.replace(line, bad))
    with pytest.raises(Fault, match=words):
        outcomes(check, name)


def test_head_without_maps_is_told_what_to_add(head):
    name = head(GOOD[: GOOD.index("        def attention_maps")])
    check = next(check for check in CHECKS if check.name == "attention_maps_are_maps")
    with pytest.raises(NotDeclared, match=r"add: def attention_maps\(self, features, pixel\): return {}"):
        check.run(Subject(name))
