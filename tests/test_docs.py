"""The generated pages are those that the sources give now, and what they rest on is so."""

import functools
import importlib.util
import inspect
import itertools
import json
import re
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from docs.make import (
    docstring,
    export,
    findings,
    flops_page,
    head_page,
    index,
    maps,
    measured,
    performance,
    probes,
    reach,
    receptive,
)
from docs.make.claims import CLAIMS, LABELS
from docs.make.counting import GRIDS, head_ledger, mechanism_path
from segattn import heads
from segattn.cost import parts
from segattn.model import create_model
from segattn.profile import other_counters
from segattn.records.head_facts import by_family
from tests.places import ROOT

DOCS = ROOT / "docs"
STALE = "is out of date: run `make docs` and look at the difference"
page_of = functools.cache(head_page.page)
"""The page of a head, which several tests read."""


@pytest.mark.parametrize("name", heads.names())
def test_page_of_a_head_is_up_to_date(name):
    _check_page(f"heads/{name}.md", page_of(name))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("README.md", index),
        ("flops.md", flops_page),
        ("performance.md", performance),
        ("probes.md", probes),
        ("findings.md", findings),
        ("export.md", export),
    ],
)
def test_other_generated_pages_are_up_to_date(name, module):
    _check_page(name, module.page())


def _check_page(name, wanted):
    """Fail at the first line that differs: pytest's own comparison of pages as long as these takes minutes."""
    found = (DOCS / name).read_text(encoding="utf-8")
    for number, (line, other) in enumerate(itertools.zip_longest(found.splitlines(), wanted.splitlines()), start=1):
        if line != other:
            pytest.fail(f"{name} {STALE}; line {number} is {line!r} instead of {other!r}", pytrace=False)
    assert len(found) == len(wanted), f"{name} {STALE}"


def test_every_head_has_a_page_and_no_page_lacks_a_head():
    assert sorted(path.stem for path in (DOCS / "heads").glob("*.md")) == heads.names()
    assert sorted(path.stem for path in (DOCS / "heads/images").glob("*.png")) == heads.names()


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("name", heads.names())
def test_picture_is_small_and_in_colour(name):
    path = DOCS / f"heads/images/{name}.png"
    assert path.stat().st_size < 60_000
    with Image.open(path) as image:
        assert min(image.size) > 300


@pytest.mark.parametrize("name", heads.names())
def test_equation_is_there_in_latex_and_as_text(name):
    page = page_of(name)
    latex = re.search(r"```math\n(.+?)\n```", page, re.DOTALL)[1]
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\begin") == latex.count(r"\end")
    assert latex.count(r"\Bigl") == latex.count(r"\Bigr")
    assert "```text\n" in page


@pytest.mark.parametrize("name", heads.names())
def test_page_holds_every_paragraph_of_the_docstring(name):
    page = re.sub(r"\\(?=[*<>|])", "", page_of(name))
    paragraphs = inspect.getdoc(heads.module(name)).split("\n\n")[1:]
    for line in (line.strip() for text in paragraphs for line in text.splitlines()):
        ending = line.partition(": ")[2] if line.startswith(("Cost", "Differences")) else line
        assert ending[1:] in page, line


def test_docstring_without_its_parts_is_an_error_that_names_them():
    module = SimpleNamespace(
        __file__="mylab/tenth.py", __doc__="Somebody: *A title*, arXiv 2101.00001.\n\n    y = x\n\nNothing."
    )
    with pytest.raises(ValueError, match=r"mylab/tenth\.py: the docstring should have, in this order, .* 'Cost'"):
        docstring.read(module)


# Where a mechanism acts ------------------------------------------------------------------------------------------------
SIZE = reach.SIZE


def test_one_recurrence_reaches_the_cross_and_two_reach_everything():
    one, two = reach.reach("ccnet")
    cross = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    cross[reach.PIXEL[0]], cross[:, reach.PIXEL[1]] = True, True
    assert torch.equal(one.gathers > reach.NONE, cross)
    assert torch.equal(one.depends > reach.NONE, cross)
    assert reach.positions(two.gathers) == SIZE**2


def test_interlaced_attention_reaches_a_grid_a_block_and_through_both_everything():
    long, short, both = reach.reach("isanet")
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    row, column = reach.PIXEL
    assert torch.equal(long.gathers > reach.NONE, (rows % 4 == row % 4) & (columns % 4 == column % 4))
    assert torch.equal(short.gathers > reach.NONE, (rows // 4 == row // 4) & (columns // 4 == column // 4))
    assert reach.positions(both.gathers) == SIZE**2


@pytest.mark.parametrize(("name", "panel"), [("danet", 1), ("flanet", 0), ("reconet", 0), ("emanet", 0)])
def test_channel_attentions_gather_from_the_pixel_alone_and_depend_on_all(name, panel):
    part = reach.reach(name)[panel]
    assert reach.positions(part.gathers) == 1
    assert reach.positions(part.depends) == SIZE**2


def test_reach_agrees_with_differences():
    part = reach.reach("flanet")[0]
    (panel,) = reach.PANELS["flanet"]
    torch.manual_seed(0)
    module = reach._drawn(panel.make().double().eval())
    x = torch.randn(1, reach.CHANNELS, SIZE, SIZE, dtype=torch.float64)

    def norm(row, column):
        moved = torch.zeros(reach.CHANNELS, *x.shape[1:], dtype=x.dtype)
        moved[torch.arange(reach.CHANNELS), torch.arange(reach.CHANNELS), row, column] = 1e-5
        change = (module(x + moved) - module(x - moved))[:, :, reach.PIXEL[0], reach.PIXEL[1]] / 2e-5
        return change.square().sum().sqrt()

    assert part.depends[3, 11].item() == pytest.approx((norm(3, 11) / norm(*reach.PIXEL)).item(), rel=1e-5)


def test_the_page_on_families_has_every_head_with_its_family_in_their_order():
    lines = (DOCS / "nine_and_after.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| [")]
    shown = [(re.search(r"\[(\w+)\]", row[0])[1], row[1]) for row in rows]
    families = {name: heads.declared(heads.module(name).Head, "family") for name in heads.names()}
    assert dict(shown) == families
    assert list(dict.fromkeys(family for _, family in shown)) == by_family(families.values())


def test_receptive_fields_on_the_page_are_the_committed_numbers_and_heads_have_theirs():
    page = receptive.PAGE.read_text(encoding="utf-8")
    committed = page.split(receptive.BEGIN)[1].split(receptive.END)[0].strip()
    names = list(receptive.read()["heads"])
    assert committed == receptive.table(names)
    assert {"fcn", "ccnet"} <= set(names)
    for name in heads.names():
        lines = [line for line in head_page.page(name).splitlines() if line.startswith(f"| `{name}` |")]
        assert (receptive.table([name]).splitlines()[-1] in lines) == (name in names)


# What the figures rest on ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["non_local", "dnlnet", "danet", "ccnet", "emanet", "flanet", "isanet"])
def test_attention_maps_hold_what_the_softmax_writes(name):
    ledger = head_ledger(name, 65)
    written = sum(
        row.activation_bytes for row in ledger.by_operator(mechanism_path(name, ledger)) if row.operator == "_softmax"
    )
    assert maps.mebibytes(name, 65, 65) * maps.MAPS[name].calls * 2**20 == written


def test_denoised_nl_softmax_writes_its_map_and_class_probabilities():
    ledger = head_ledger("denoised_nl", 65)
    rows = ledger.by_operator(mechanism_path("denoised_nl", ledger))
    written = sum(row.activation_bytes for row in rows if row.operator == "_softmax")
    assert maps.mebibytes("denoised_nl", 65, 65) * 2**20 == written - 4 * GRIDS[65][1] * 33 * 33


def test_every_claim_says_where_it_is_from():
    for claim in CLAIMS:
        assert claim.label in LABELS
        assert claim.source
        assert claim.why


def test_recalled_figures_are_never_printed_as_what_a_paper_says():
    page = flops_page.page()
    for claim in CLAIMS:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {claim.what} | {claim.stated} |")]
        assert f"| {claim.label}: {claim.source} |" in row
    assert "recalled: recalled from the literature, not retrieved: unverified" in page


@pytest.mark.parametrize("name", ["non_local", "danet"])
@pytest.mark.parametrize("peer", ["torch", "ptflops", "thop", "torchinfo"])
def test_committed_cross_check_is_what_the_counter_says_now(name, peer):
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed")
    with torch.device("meta"):
        model = create_model(name, num_classes=19, backbone="resnet50", auxiliary_weight=0)
    module, inputs = parts(model, (769, 769))["mechanism"]
    (reading,) = other_counters.cross_check(module, *inputs, counters=[peer])
    if reading.figure is None:
        pytest.skip(f"{peer} {reading.problem}")
    committed = next(
        entry
        for check in json.loads(flops_page.CROSS_CHECK.read_text(encoding="utf-8"))
        if check["head"] == name and check["part"] == "mechanism, 769x769"
        for entry in check["readings"]
        if entry["peer"] == peer
    )
    if committed["version"] != reading.version:
        pytest.skip(f"the committed figure is of {peer} {committed['version']}, here is {reading.version}")
    assert committed["figure"] == reading.figure
    assert committed["differences"] == [list(pair) for pair in reading.differences()]


@pytest.mark.parametrize("name", heads.names())
def test_measured_accuracy_of_a_head_is_that_of_its_records(name):
    rows = [
        line.split(" | ")
        for line in head_page.page(name).split("## Measured accuracy")[1].split("\n## ")[0].splitlines()
    ]
    shown = {
        (row[0].removeprefix("| ").split(",")[0], row[1]): row[2] for row in rows if row[0].startswith("| streets")
    }
    expected = {}
    for trunk, folder in (
        ("streets-local", "streets_local_heads"),
        ("streets-local", "streets_local_faithful"),
        ("streets", "streets_heads"),
    ):
        for path in (DOCS / "records/zoo" / folder).glob(f"{name}-*.json"):
            record = json.loads(path.read_text(encoding="utf-8"))
            assert record["head"] == name
            expected[trunk, record["mode"]] = f"{100 * record['scores']['mean_iou']:.2f}"
    assert shown == expected
    if not expected:
        assert name == "star"
        assert "findings.md#a-mechanism-of-our-own-the-star" in measured.section(name)
    else:
        assert {("streets-local", "controlled"), ("streets", "controlled")} <= shown.keys()


def test_measured_difference_and_cut_are_those_of_the_page_on_receptive_fields():
    (row,) = [line for line in measured.section("ccnet").splitlines() if line.startswith("| streets-local")]
    assert row == "| streets-local, sees 55 px | controlled | 65.21 | +2.18 | 56.33 | -8.88 | 0.79 |"
    assert "| ccnet | 65.21 | 56.33 | 0.79 | 22 % |" in (DOCS / "receptive_field.md").read_text(encoding="utf-8")


def test_the_site_lists_every_head_by_the_name_that_commands_take():
    listed = re.findall(r"^(\w+) <heads/(\w+)>$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [(name, name) for name in heads.names()]
