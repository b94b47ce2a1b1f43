"""Each kind of faulty head file is refused in one line that names the file and says what to write."""

import inspect
import sys
from textwrap import indent

import pytest
import torch
from torch import nn

from segattn import heads
from segattn.heads.parts import contract
from segattn.heads.parts.contract import DEFAULTS, Declared, build_mechanism, declared, mechanism_of, options_of
from segattn.records.head_facts import FAMILIES

IN_CHANNELS = (3, 5, 7, 11)
IMPORTS = "from torch import nn\n"
INIT = """
def __init__(self, in_channels, num_classes, *, gain=1.0):
    super().__init__()
    self.classify = nn.Conv2d(in_channels[3], num_classes, 1)
"""
FORWARD = """
def forward(self, features):
    return {"out": self.classify(features[3])}
"""
WEIGHTS = 'loss_weights = {"out": 1.0}\n'
MECHANISM = """
class Gate(nn.Module):
    def __init__(self, channels, *, strength{default}):
        super().__init__()
    def forward(self, x):
        return x
"""


def head(*parts: str) -> str:
    return "class Head(nn.Module):\n" + indent("".join(parts), "    ")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Writes `mylab/tenth.py` in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mylab").mkdir()
    _forget("mylab")  # of another test
    finders = list(sys.meta_path)

    def write(text: str, name: str = "tenth.py") -> None:
        (tmp_path / "mylab" / name).write_text(text)

    yield write
    sys.meta_path[:] = finders
    _forget("mylab")


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]


def test_the_smallest_head_is_a_head(lab):
    lab(IMPORTS + head(WEIGHTS, INIT, FORWARD))
    built = heads.create("mylab.tenth", IN_CHANNELS, 2, gain=2.0)
    assert built([torch.randn(2, c, 3, 5) for c in IN_CHANNELS])["out"].shape == (2, 2, 3, 5)
    assert list(heads.options("mylab.tenth")) == ["gain"]
    assert mechanism_of(built) is built
    assert {name: declared(built, name) for name in DEFAULTS} == DEFAULTS


CASES = {
    "no Head": ("x = 1", "has no class Head; write: class Head(nn.Module): ..."),
    "Head is a function": (
        "def Head(in_channels): ...",
        "has a Head that is a function, not a subclass of nn.Module; write: class",
    ),
    "Head is no module": (
        "class Head: ...",
        "has a Head that is the class Head, not a subclass of nn.Module; write: class Head(nn",
    ),
    "no forward": (head(WEIGHTS, INIT), "has no forward; add: def forward(self, features): return {'out': logits}"),
    "forward takes nothing": (
        head(WEIGHTS, INIT, "def forward(self): ..."),
        "forward of Head in {file} takes nothing; write: def forward(self, features):",
    ),
    "forward takes too much": (
        head(WEIGHTS, INIT, "def forward(self, x, y): ..."),
        "forward of Head in {file} takes x, y; write: def forward(self, features):",
    ),
    "no loss_weights": (head(INIT, FORWARD), "has no loss_weights; add: loss_weights = {'out': 1.0}"),
    "loss_weights without out": (
        head("loss_weights = {'main': 1.0}\n", INIT, FORWARD),
        "loss_weights of {file} is {'main': 1.0}; it must give a weight for every output in training, including 'out': "
        "loss_weights = {'out': 1.0}",
    ),
    "loss_weights is a list": (
        head("loss_weights = ['out']\n", INIT, FORWARD),
        "loss_weights of {file} is ['out']; it must give a weight for",
    ),
    "weight is no number": (
        head("loss_weights = {'out': '1'}\n", INIT, FORWARD),
        "loss_weights of {file} is {'out': '1'}; it must give a weight for",
    ),
    "no constructor": (
        head(WEIGHTS, FORWARD),
        "constructor of Head in {file} is missing; write: def __init__(self, in_channels, ",
    ),
    "constructor takes one": (
        head(WEIGHTS, "def __init__(self, channels): super().__init__()\n", FORWARD),
        "constructor of Head in {file} takes channels, not in_channels and num_classes, then * and its options; write: def",
    ),
    "option by position": (
        head(WEIGHTS, "def __init__(self, in_channels, num_classes, gain=1.0): super().__init__()\n", FORWARD),
        "constructor of Head in {file} takes in_channels, num_classes, gain, not in_channels and num_classes, then * and",
    ),
    "required option": (
        head(WEIGHTS, "def __init__(self, in_channels, num_classes, *, gain): super().__init__()\n", FORWARD),
        "has no default for the option gain; write: def __init__(self, in_channels, num_classes, *, channels=512):",
    ),
    "collected options": (
        head(WEIGHTS, "def __init__(self, in_channels, num_classes, **options): super().__init__()\n", FORWARD),
        "collects options in options, where a mistyped one would be lost; write: def __init__(self, in_channels, num_classes, *",
    ),
    "attention_maps takes one": (
        head(WEIGHTS, INIT, FORWARD, "def attention_maps(self, features): return {}\n"),
        "attention_maps of Head in {file} takes features; write: def attention_maps(self, features, pixel):",
    ),
    "attention_maps is no method": (
        head(WEIGHTS, INIT, FORWARD, "attention_maps = {}\n"),
        "attention_maps of Head in {file} is a dict, not a method; write: def attention_maps(self, features, pixel):",
    ),
    "after_step takes nothing": (
        head(WEIGHTS, INIT, FORWARD, "def after_step(self): ...\n"),
        "after_step of Head in {file} takes nothing; write: def after_step(self, reduce):",
    ),
    "attention is no module": (
        head(WEIGHTS, INIT, FORWARD, "attention = 'cross'\n"),
        "attention of {file} is a str, not an nn.Module; write: self.attention = MyMechanism(channels)",
    ),
    "gates is a word": (
        head(WEIGHTS, "gates = 'gamma'\n", INIT, FORWARD),
        "gates of {file} is a str, not tuple; write: gates = ('attention.query',), or leave it out",
    ),
    "map_kinds is a word": (
        head(WEIGHTS, "map_kinds = 'channels'\n", INIT, FORWARD),
        "map_kinds of {file} is a str, not dict; write: map_kinds = {'column': 'channels'}, or leave it out",
    ),
    "Mechanism is an instance": (
        head(WEIGHTS, "Mechanism = nn.Identity()\n", INIT, FORWARD),
        "Mechanism of Head in {file} is a Identity, not a subclass of nn.Module; write: Mechanism = MyMechanism",
    ),
    "Mechanism has a required option": (
        MECHANISM.format(default="") + head(WEIGHTS, "Mechanism = Gate\n", INIT, FORWARD),
        "constructor of Gate in {file} has no default for the option strength; write: def __init__(self, channels, *, st",
    ),
    "raises at import": ("raise RuntimeError('no\\nluck')", "importing it raises RuntimeError: no ({path}, line 2)"),
    "syntax error": (
        "def forward(:",
        "importing it raises SyntaxError: invalid syntax (tenth.py, line 2) ({path}, line 2)",
    ),
    "missing dependency": (
        "import nowhere_to_be_found",
        "{path}, line 2 imports 'nowhere_to_be_found', which is not installed",
    ),
}


@pytest.mark.parametrize("fault", CASES)
def test_faulty_file_is_refused_in_one_line_that_says_what_to_write(fault, lab, tmp_path):
    text, expected = CASES[fault]
    lab(IMPORTS + text)
    with pytest.raises(ValueError) as refused:
        heads.create("mylab.tenth", IN_CHANNELS, 2)
    message = str(refused.value)
    expected = expected.replace("{file}", "mylab/tenth.py").replace("{path}", str(tmp_path / "mylab/tenth.py"))
    assert message.startswith("head mylab.tenth: ")
    assert expected in message
    assert "mylab/tenth.py" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "otherlab.tenth",
            "no package otherlab is installed, and the working directory {folder} has no otherlab.py or folder",
        ),
        ("mylab.tent", "there is no tent.py in {folder}/mylab; did you mean tenth?"),
        ("mylab.zzz", "there is no zzz.py in {folder}/mylab; there are: tenth"),
        (
            "mylab.tenth.deeper",
            "mylab.tenth is one file ({folder}/mylab/tenth.py), not a package, and has no module deeper",
        ),
    ],
)
def test_dotted_name_that_is_not_found_says_where_it_was_looked_for(name, expected, lab, tmp_path):
    lab(IMPORTS + head(WEIGHTS, INIT, FORWARD))
    with pytest.raises(ValueError) as refused:
        heads.create(name, IN_CHANNELS, 2)
    assert f"head {name}: {expected.format(folder=tmp_path)}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_controlled_form_says_what_to_declare(lab):
    lab(IMPORTS + head(WEIGHTS, INIT, FORWARD))
    with pytest.raises(ValueError, match=r"no controlled form; declare .*mylab/tenth.py: Mechanism = MyMechanism"):
        heads.create("mylab.tenth", IN_CHANNELS, 2, mode="controlled")


def test_options_of_the_mechanism_are_those_of_head_and_controlled_form(lab):
    init = """
def __init__(self, in_channels, num_classes, *, gain=1.0, mechanism=Gate):
    super().__init__()
    self.attention = mechanism(in_channels[3])
    self.classify = nn.Conv2d(in_channels[3], num_classes, 1)
"""
    gate = MECHANISM.format(default="=1.0").replace(
        "super().__init__()", "super().__init__(); self.strength = strength"
    )
    lab(IMPORTS + gate + head(WEIGHTS, "Mechanism = Gate\n", init, FORWARD))
    assert list(heads.options("mylab.tenth")) == ["gain", "strength"]
    assert list(heads.options("mylab.tenth", mode="controlled")) == ["channels", "dropout", "strength"]
    for mode in ("faithful", "controlled"):
        assert heads.create("mylab.tenth", IN_CHANNELS, 2, mode=mode, strength=3.0).attention.strength == 3.0
        assert heads.create("mylab.tenth", IN_CHANNELS, 2, mode=mode).attention.strength == 1.0


def test_every_option_of_a_mechanism_is_there_in_both_modes():
    for name in heads.names():
        of_mechanism = options_of(heads.module(name).Head.Mechanism)
        for mode in ("faithful", "controlled"):
            options = heads.options(name, mode=mode)
            assert {option: options[option] for option in of_mechanism} == of_mechanism, (name, mode)


def test_every_declaration_of_the_contract_has_a_docstring_and_a_default_or_is_required():
    names = {*Declared.__annotations__, *(name for name in vars(Declared) if not name.startswith("_"))}
    methods = {"forward", "attention_maps", "after_step"}
    assert names == {*DEFAULTS, "loss_weights", *methods}
    assert all(getattr(Declared, name).__doc__ for name in methods)


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("name", heads.names())
def test_declarations_are_of_the_contract(name, mode):
    """A family, gates that are scalars or vectors at 0 or not there, and maps and frozen parameters that exist."""
    head = heads.create(name, IN_CHANNELS, 2, mode=mode, channels=16)
    assert declared(head, "family") in FAMILIES
    assert f'"{declared(head, "family")}":' in inspect.getsource(contract.Declared)  # explained where authors look
    assert (declared(head, "family") == "baseline") == (name == "fcn")
    assert declared(head, "without_attention") in ("identity", "mean")
    mechanism = mechanism_of(head)
    for gate in declared(head, "gates"):
        owner, _, attribute = gate.rpartition(".")
        value = getattr(mechanism.get_submodule(owner), attribute)
        assert value is None or (value.ndim <= 1 and not value.any())
    scalars = {key for key, parameter in mechanism.named_parameters() if parameter.ndim == 0}
    assert scalars <= set(declared(head, "gates"))
    for declaration in ("frozen", "no_weight_decay"):
        for prefix in declared(head, declaration):
            assert any(key == prefix or key.startswith(prefix + ".") for key, _ in head.named_parameters()), prefix
    features = [torch.randn(1, c, 5, 7) for c in IN_CHANNELS]
    maps = head.eval().attention_maps(features, (1, 2))
    assert set(declared(head, "map_kinds")) <= set(maps)
    assert declared(head, "main_map") in {"", *maps}


# The heads whose mechanism adds to its input.
IDENTITY = {
    "agent", "ccnet", "danet", "dnlnet", "efficient", "emanet", "external", "fcn", "flanet", "hamburger", "large_kernel",
    "neighborhood", "non_local", "ss2d", "star",
}  # fmt: skip


@pytest.mark.parametrize("name", heads.names())
def test_mechanism_with_gates_at_zero_returns_its_input_where_that_stands_in_for_it(name):
    head = heads.create(name, IN_CHANNELS, 2, mode="controlled", channels=16).eval()
    adds = declared(head, "without_attention") == "identity"
    assert adds == (name in IDENTITY)
    if adds and declared(head, "gates"):
        x = torch.randn(2, 16, 5, 7)
        assert torch.equal(head.attention(x), x)


def test_a_mechanism_with_classes_is_built_with_them():
    class Plain(nn.Module):
        def __init__(self, channels, *, depth=1):
            super().__init__()
            self.arguments = (channels, depth)

    class WithClasses(nn.Module):
        def __init__(self, channels, num_classes, *, depth=1):
            super().__init__()
            self.arguments = (channels, num_classes, depth)

    assert build_mechanism(Plain, 8, 3, depth=2).arguments == (8, 2)
    assert build_mechanism(WithClasses, 8, 3).arguments == (8, 3, 1)


def test_a_declaration_of_the_mechanism_counts_where_the_head_says_nothing():
    class Mechanism(nn.Module):
        map_kinds = {"a": "channels"}  # noqa: RUF012
        family = "not read here"

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Mechanism()

    assert declared(Head(), "map_kinds") == {"a": "channels"}
    assert declared(Head(), "family") == "other"
    assert contract.declared(Head, "map_kinds") == {}
