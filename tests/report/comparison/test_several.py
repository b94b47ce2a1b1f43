"""More than two networks, each against the first."""

import csv
import io
import re

import pytest
from rich.console import Console

from segattn import report
from segattn.report.comparison import several_text
from segattn.report.comparison.several import compare_several
from segattn.report.shared import student
from tests.report import fabricate
from tests.report.study.test_page import Outline

HEADS = ("fcn", "ccnet", "danet", "reconet")


def chosen(folder, heads=HEADS):
    return [report.select(str(folder), head) for head in heads]


@pytest.fixture(scope="module")
def four(ten_by_three):
    return compare_several(chosen(ten_by_three))


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory):
    folder = fabricate.study(tmp_path_factory.mktemp("one seed"), list(HEADS), seeds=1, with_cost=False)
    return compare_several(chosen(folder), resamples=500)


def test_each_is_compared_with_the_first_as_a_pair_would_be(four, ten_by_three):
    assert four.first.label == "fcn"
    assert [row.label for row in four.others] == ["ccnet", "danet", "reconet"]
    pair = report.compare(*chosen(ten_by_three, ("danet", "fcn")))
    assert four.comparisons[1].total.difference == pair.total.difference
    assert four.comparisons[1].classes[3].difference == pair.classes[3].difference


def test_p_values_are_corrected_for_all_networks_and_all_their_classes(four):
    alone = [pair.total.difference.p for pair in four.comparisons]
    assert four.p == student.holm(alone)
    assert min(four.p) == pytest.approx(3 * min(alone))
    classes = [line.difference.p for pair in four.comparisons for line in pair.classes]
    assert four.num_compared == (3, len(classes)) == (3, 3 * len(fabricate.CLASSES))
    assert [p for row in four.class_p for p in row] == student.holm(classes)


def test_the_finding_names_every_network_once(four, one_seed):
    for several in (four, one_seed):
        text = several_text.finding(several)[0]
        assert "on streets val (53 images)" in text
        assert text.endswith("(Holm-corrected for 3 comparisons).")
        assert all(len(re.findall(rf"\b{row.label}\b", text)) == 1 for row in several.others)
        unclear = [row.label for row, clear in zip(several.others, several.clear, strict=True) if not clear]
        after = text.partition("; ")[2] if unclear and any(several.clear) else text
        assert all(label in after for label in unclear)


def test_notes_say_how_pairs_were_tested(four, one_seed):
    assert (
        "ccnet, danet and reconet: t over images and seeds, networks paired by image and by seed."
        in several_text.notes(four)
    )
    notes = " ".join(several_text.notes(one_seed))
    assert "bootstrap over images, networks paired by image." in notes
    assert "One seed each" in notes


def test_too_few_images_give_no_p_value(tmp_path):
    for head in HEADS[:3]:
        record = fabricate.run(head, 0, tmp_path / head)
        few = fabricate.image_counts(fabricate.np.array(record.scores.confusion), fabricate.np.random.default_rng(0), 5)
        fabricate.np.savez_compressed(tmp_path / head / "per_image.npz", **few)
    several = compare_several([report.load(tmp_path / head) for head in HEADS[:3]], resamples=100)
    assert several.p == [None, None]
    assert several.clear == [False, False]
    assert several_text.finding(several) == [
        "There are too few images to test the differences to fcn on streets val (53 images)."
    ]
    assert [row[-1] for row in several_text.cells(several)] == ["", "few", "few"]


def test_the_same_head_in_two_modes_and_folders_is_told_apart(tmp_path):
    for name, changes in (("a", {}), ("b", {"mode": "controlled"}), ("c", {"mode": "controlled"})):
        fabricate.run("ccnet", 0, tmp_path / name, **changes)
    several = compare_several([report.load(tmp_path / name) for name in "abc"], resamples=50)
    labels = [several.first.label, *(row.label for row in several.others)]
    assert [label.rpartition("/")[2] for label in labels] == ["a)", "b)", "c)"]


def test_two_networks_and_the_same_one_twice_are_refused(ten_by_three):
    with pytest.raises(ValueError, match="three or more, not 2; compare two with compare"):
        compare_several(chosen(ten_by_three, ("fcn", "ccnet")))
    with pytest.raises(ValueError, match="name each network once"):
        compare_several(chosen(ten_by_three, ("fcn", "ccnet", "ccnet")))


def test_markdown_csv_and_latex_have_every_network(four):
    markdown, latex = several_text.markdown(four), several_text.latex(four)
    rows = list(csv.DictReader(io.StringIO(several_text.csv_text(four))))
    assert len(rows) == 3 * (1 + len(fabricate.CLASSES))
    for row, pair, p in zip(four.others, four.comparisons, four.p, strict=True):
        assert f"\n| {row.label} | " in markdown
        assert f"\n{row.label} & {100 * row.mean_iou:.2f} & " in latex
        (total,) = [line for line in rows if (line["network"], line["kind"]) == (row.label, "score")]
        assert float(total["difference"]) == pair.total.difference.value
        assert float(total["p_holm"]) == p
    caption = re.search(r"\\caption{(.*)}", latex).group(1)
    assert 10 < len(caption.split()) <= 40


@pytest.mark.parametrize(("width", "encoding"), [(80, "utf-8"), (40, "utf-8"), (80, "ascii")])
def test_the_terminal_shows_it_whole(four, width, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width).print(report.TerminalSeveral(four))
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    assert max(map(len, text.splitlines())) <= width
    for words in (*HEADS, "motorcycle", "few: labelled in"):
        assert words in " ".join(text.split())


def test_page_nests_and_names_everything(four, tmp_path):
    page = report.build_comparison(four, tmp_path)["compare.html"].read_text(encoding="utf-8")
    outline = Outline(page)
    assert {address[1:] for address in outline.addresses if address.startswith("#")} <= set(outline.ids)
    assert outline.tags.count("script") == 1
    assert several_text.finding(four)[0] in page
    for name, words in re.findall(r'<a href="#([^"]+)">([^<]+)</a>', page[: page.index("</nav>")]):
        assert f"<h2>{words}</h2>" in page[page.index(f'<section id="{name}">') :]
