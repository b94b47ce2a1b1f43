"""Names from files in what is written: no formula in a spreadsheet, no command in LaTeX, figures that any program reads."""

from __future__ import annotations

import csv
import io
import random
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from segattn import report
from segattn.cli import main, terminal
from segattn.report.bench import page as bench_page
from segattn.report.bench import tables as bench_tables
from segattn.report.shared.text import csv_table, latex_text
from tests.report import fabricate, fabricate_bench
from tests.trust.conftest import change

HOSTILE = (
    "=cmd|'/c calc'!A1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\ufeff=1", "＝1", "＋1", "－1", "＠x", "﹦1",
    "\u200b=1", "\u202e=1", "$\\frac{", "$x$", "\\input{/etc/passwd}", "[2pt]x", "*x", "a & b % c # d_e ^ f ~ g \\\\",
    "\x00\x1b[31mred\x07", "a\rb\nc", "[bold]x[/bold]", "[/]", ":car:", "<script>alert(1)</script>", "]]>",
)  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")
FORMULA = re.compile(r"[\s\u200b\u202e\ufeff]*[=+\-@＝＋－＠﹦]")


def hostile_study(folder: Path) -> Path:
    """A study whose every name, of experiment, head, class, image, gate, machine, is hostile; the classes have all of them."""
    fabricate.study(folder, ["fcn", "ccnet"], seeds=1)
    fabricate.add_contribution(folder, ["fcn", "ccnet"])

    def rename(raw: dict[str, object], head: str) -> None:
        names = [*HOSTILE, *map(str, range(99))]
        raw.update(experiment=names[0], head=head, dataset=names[3], split=names[9], created=names[8])
        raw["class_names"] = names[: len(raw["class_names"])]  # type: ignore[arg-type]

    change(folder / "study.json", lambda raw: raw.update(costs=[{**c, "head": HOSTILE[16]} for c in raw["costs"][:2]]))
    for number, path in enumerate(sorted(folder.glob("*/record.json"))):
        change(path, lambda raw: rename(raw, HOSTILE[16 + 2 * number]))  # noqa: B023
    return folder


def check_csv(text: str, numbers: int) -> None:
    rows = list(csv.reader(io.StringIO(text)))
    fields = [field for row in rows for field in row]
    assert sum(is_number(field) for field in fields) >= numbers
    for field in fields:
        assert is_number(field) or not FORMULA.match(field), field
        assert field.isprintable(), field


def is_number(field: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", field) is not None


@pytest.mark.slow
def test_files_of_a_report_hold_hostile_names_as_text(tmp_path: Path) -> None:
    written = report.build(hostile_study(tmp_path / "study"), tmp_path / "out")
    check_csv(written["table.csv"].read_text(), numbers=100)
    figures = [path for name, path in written.items() if name.endswith(".svg")]
    assert len(figures) >= 3
    for path in figures:
        ElementTree.fromstring(path.read_text())  # well-formed XML
    page = written["report.html"].read_text()
    assert "<script>alert" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
    drawn = " ".join(path.read_text() for path in figures)
    assert "$\\frac{" in drawn or "$x$" in drawn  # as it stands, not as mathematics


@pytest.mark.long
def test_files_of_a_bench_record_hold_hostile_names_as_text(tmp_path: Path) -> None:
    results = [fabricate_bench.result(name) for name in HOSTILE[::4]]
    record = fabricate_bench.record(results, suite=HOSTILE[0])
    check_csv(bench_tables.csv_text(record), numbers=len(results))
    for name, path in bench_page.build(record, tmp_path).items():
        if name.endswith(".svg"):
            ElementTree.fromstring(path.read_text())
    console = terminal.console(file=io.StringIO(), width=200)
    bench_tables.show(record, console)


@pytest.mark.parametrize("cases", [20, pytest.param(2000, marks=pytest.mark.long)])
def test_no_text_of_formula_characters_is_a_formula(cases: int) -> None:
    symbols = "=+-@＝＋－＠﹦﹢﹣﹫|%\t\r\n \ufeff\u200b\u200e\u202e\x00'\",;a1"
    rng = random.Random(0)
    texts = ["".join(rng.choices(symbols, k=rng.randrange(1, 6))) for _ in range(cases)]
    written = csv_table([text, rng.random() - 0.5] for text in texts)
    rows = list(csv.reader(io.StringIO(written)))
    assert len(rows) == cases
    for (field, number), text in zip(rows, texts, strict=True):
        assert not re.match(r"[=+\-@＝＋－＠﹦﹢﹣﹫|%\s\ufeff\u200b]", field), (text, field)
        assert is_number(number)
    print(f"{cases} texts, none a formula; {cases} numbers, all numbers")


def test_numbers_keep_every_digit() -> None:
    values = [-0.1, 1e-300, -7, 2**53 + 1, None, ""]
    assert csv_table([values]) == "-0.1,1e-300,-7,9007199254740993,,\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_reads_a_name_as_text(name: str) -> None:
    text = latex_text(name)
    assert text.isprintable()
    assert not text.startswith(("[", "*"))
    rest = re.sub(r"\\text\w+\{\}|\\[&%$#_{}]|\$-\$", "", text.removeprefix("{}"))
    assert not re.search(r"[\\&%$#_{}^~<>|]", rest), text


@pytest.mark.parametrize("name", HOSTILE)
def test_terminal_shows_brackets_and_colons_as_they_are(name: str) -> None:
    stream = io.StringIO()
    terminal.console(file=stream, width=200).print(name, soft_wrap=True)
    shown = "".join(
        c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in name
    )  # control characters written out
    assert [word for word in stream.getvalue().split() if word.isascii()] == [
        word for word in shown.split() if word.isascii()
    ]


def commands(run: Path, photo: Path, out: Path) -> dict[str, list[str]]:
    return {
        "evaluate": ["evaluate", str(run), "--device", "cpu"],
        "predict": ["predict", str(run), str(photo), "-o", str(out)],
        "maps": ["maps", str(run), "--image", str(photo), "--pixel", "3,3", "-o", str(out / "maps.png")],
        "report": ["report", str(run.parent), "-o", str(out)],
        "compare": ["compare", str(run), str(run.parent / "fcn-faithful-s0"), "-o", str(out)],
        "convert": ["convert", "to-mmseg", str(run), "-o", str(out / "network.pth")],
    }


@pytest.mark.long
def test_commands_show_paths_with_brackets_as_they_are(
    copy: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["[red]a", "[/b]", ":car:", *map(str, range(99))]
    run = copy / "ccnet-faithful-s0"
    change(run / "config.json", lambda raw: raw.update(class_names=names[: len(raw["class_names"])]))
    out = tmp_path / "[bold]out[" / "x"
    for command, words in commands(run, photo, out).items():
        other_classes = command == "evaluate"  # those of the data set are other ones, and the error lists both
        assert main(words) == (2 if other_classes else 0), command
        printed = capsys.readouterr()
        if other_classes:
            assert "[red]a, [/b], :car:, 0" in printed.err
        else:
            assert "[bold]out[" in printed.out, (command, printed)
