"""Long commands end with what to type next, and that runs as printed."""

import io
import shlex

import pytest

from segattn.cli import bench, demo, main, next_step, push, terminal
from segattn.profile import limits
from tests import tiny
from tests.report import fabricate_bench

SMALL = {
    "train": [
        *(
            "--model.backbone-options",
            "width=8",
            "--model.head-options",
            "channels=8",
            "--augmentation.crop-size",
            "33x33",
        ),
        *("--iterations", "1", "--evaluation.examples", "0", "--device", "cpu"),
    ],
    "predict": ["--device", "cpu"],
    "maps": ["--device", "cpu"],
}


def printed(show, *arguments, **options):
    """The words of the line that `show` prints."""
    stream = io.StringIO()
    show(terminal.console(file=stream, width=40), *arguments, **options)
    line = stream.getvalue().replace("\\\n", "").strip()
    return shlex.split(line.removeprefix("Next: segattn "))


@pytest.fixture
def follow(capsys):
    """A function that runs a command, and returns the one that it prints, without `segattn`."""

    def run(*words):
        assert main([*words, *SMALL.get(words[0], [])]) == 0, words
        shown = capsys.readouterr().out.replace(" \\\n   ", "")
        (line,) = [line for line in shown.splitlines() if line.startswith("Next")]
        assert shown.endswith(f"\n\n{line}\n")
        return shlex.split(line.partition(": ")[2])[1:]

    return run


def photos(words, folder):
    """The command with photos in place of `PHOTO ...`."""
    at = words.index("PHOTO")
    assert words[at + 1] == "..."
    return [*words[:at], folder, *words[at + 2 :]]


@pytest.mark.slow
def test_one_command_leads_to_the_next_from_data_to_the_explorer(tmp_path, monkeypatch, follow):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    made = ("data", "make", "streets", "--layout", "folder", "-o", "my data", "--images", "4", "--size", "48x96")
    check = follow(*made)
    assert check == ["data", "check", "folder", "--data-root", "my data"]
    train = follow(*check)
    assert train == ["train", "folder", "--data-root", "my data"]
    shown = follow("data", "show", "folder", "--samples=1", "-o", "s.png", "--data-root", "my data", "--seed", "3")
    assert shown == [*train, "--seed", "3"]
    predict = follow(*train, "--head", "ccnet", "-o", "the run")
    maps = follow(*photos(predict, "my data/images/val"))
    assert maps[:2] == ["maps", "the run"]
    explorer = follow(*maps)
    parsed = []
    monkeypatch.setattr(demo, "_check", lambda chosen: parsed.append(chosen.runs) or exit(0))
    with pytest.raises(SystemExit):
        main(explorer)
    assert [[str(run) for run in runs] for runs in parsed] == [["the run"]]


@pytest.mark.long
def test_packed_exported_and_converted_networks_and_data_lead_on(tmp_path, monkeypatch, follow, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "make", "streets", "--layout", "camvid", "-o", "d", "--images", "4", "--size", "48x96"]) == 0
    capsys.readouterr()
    assert follow("data", "check", "camvid", "--data-root", "d") == ["train", "camvid", "--data-root", "d"]
    train = follow("data", "pack", "camvid", "--data-root", "d", "-o", "packed")
    predict = follow(*train, "-o", "run")
    assert follow("evaluate", "run", "--device", "cpu") == predict
    assert follow(*photos(predict, "d/val/images")) == ["maps", "run", "--receptive-field"]  # an FCN has no maps
    assert follow("convert", "to-mmseg", "run", "-o", "there.pth") == ["tools/test.py", "there.py", "there.pth"]
    converted = follow("convert", "mmseg", "there.pth", "-o", "back")
    follow(*photos(converted, "d/val/images"))
    assert photos(follow("export", "run", "-o", "net.pt2"), "d") == ["predict", "net.pt2", "d", "-o", "labels"]
    upload = follow("push", "run", "-o", "shared", "--license", "mit")
    assert upload == ["push", "run", "hf://USER/NAME", "--license", "mit"]
    assert push.parse(push.PushArguments, upload[1:], command="push").where == "hf://USER/NAME"


@pytest.mark.long
def test_a_record_of_trained_networks_leads_to_a_choice(trained, tmp_path, monkeypatch, follow, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(limits, "product_size", lambda dtype, device: 64)
    monkeypatch.setattr(limits, "copy_size", lambda device: 2**20)
    small = ["--input", "33x33", "--rounds", "2", "--threads", "1", "--device", "cpu"]
    choose = follow("bench", "--checkpoint", str(trained), *small, "-o", "b.json")
    assert follow("report", "b.json") == choose == ["choose", "--bench", "b.json"]
    assert main(choose) == 0


@pytest.mark.parametrize(("format", "ends"), [("table", "add -o bench.json"), ("csv", ""), ("json", "}")])
def test_figures_that_are_not_recorded_are_said_not_to_be(format, ends, capsys):
    record = fabricate_bench.comparison()
    bench._show(record, bench.BenchArguments(format=format))
    assert capsys.readouterr().out.strip().endswith(ends)


def test_modules_of_the_user_are_allowed_in_the_next_step():
    experiment = tiny.experiment(data={"name": "mylab.scenes"}, model={"head": "mylab.heads.tenth"})
    assert next_step.own_modules(experiment) == ["mylab.heads.tenth", "mylab.scenes"]
    assert next_step.own_modules(tiny.experiment(model={"head": "segattn.heads.fcn"})) == []
    words = printed(next_step.label_photos, "a run", modules=["mylab"])
    assert words == ["predict", "a run", "PHOTO", "...", "-o", "labels", "--allow-module", "mylab"]


@pytest.mark.parametrize(
    ("dataset", "root", "options", "words"),
    [
        ("camvid", "data/c", {}, "camvid --data-root data/c"),
        ("streets", None, {"num_images": 4}, "folder --data.name streets --data-options num_images=4"),
        ("packed", "a b", {}, "folder --data.name packed --data-root 'a b'"),
        ("folder", "d", {"images": "*.{a,b}"}, "folder --data-root d --data-options 'images=*.{a,b}'"),
    ],
)
def test_good_data_lead_to_their_own_experiment_or_to_the_small_one(dataset, root, options, words):
    assert printed(next_step.train_on, dataset, root, options) == ["train", *shlex.split(words)]


def test_options_that_the_next_command_lacks_are_left_out():
    words = ["--out", "a", "--heads", "fcn", "ccnet", "--workers=2", "--lr", "0.1", "-o=b"]
    without = {"--out": 1, "-o": 1, "--workers": 1}
    shown = printed(next_step.with_words, ["study", "quick"], words, without=without, more=["--features", "a"])
    assert shown == shlex.split("study quick --heads fcn ccnet --lr 0.1 --features a")
