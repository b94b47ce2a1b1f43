import pytest

from segattn.cli.study.sweep import sweep_of


def test_words_are_values_of_their_settings_type():
    assert sweep_of(["optimization.lr=0.01,2e-2"]) == [{"optimization.lr": 0.01}, {"optimization.lr": 0.02}]
    assert sweep_of(["--augmentation.crop-size=65,97x193"]) == [
        {"augmentation.crop_size": [65, 65]},
        {"augmentation.crop_size": [97, 193]},
    ]
    assert sweep_of(["model.head-options.num_bases=32,64"]) == [
        {"model.head_options.num_bases": 32},
        {"model.head_options.num_bases": 64},
    ]
    assert sweep_of(["model.head_options.partition=[4,4],[8,8],none"]) == [
        {"model.head_options.partition": value} for value in ([4, 4], [8, 8], "none")
    ]
    assert sweep_of(["model.backbone_options.a={b: [1, 2], c: 3},4"]) == [
        {"model.backbone_options.a": value} for value in ({"b": [1, 2], "c": 3}, 4)
    ]
    assert sweep_of(["evaluation.scales=[0.5,1.0], [1.0]"]) == [
        {"evaluation.scales": [0.5, 1.0]},
        {"evaluation.scales": [1.0]},
    ]
    assert sweep_of(["optimization.ohem=true,false"]) == [{"optimization.ohem": True}, {"optimization.ohem": False}]


def test_several_are_every_combination_and_none_is_no_sweep():
    assert len(sweep_of(["optimization.lr=1,2,3", "optimization.warmup=0,5"])) == 6
    assert sweep_of([]) == []


def test_file_is_a_list_of_settings(tmp_path):
    file = tmp_path / "points.yaml"
    file.write_text("- optimization.lr: 0.1\n  optimization.warmup: 5\n- model.head-options.num_bases: 32\n")
    assert sweep_of([str(file)]) == [
        {"optimization.lr": 0.1, "optimization.warmup": 5},
        {"model.head_options.num_bases": 32},
    ]
    file.write_text("optimization.lr: 0.1\n")
    with pytest.raises(ValueError, match="a sweep is a list of settings"):
        sweep_of([str(file)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimization.lr"], "write PATH=VALUE,VALUE"),
        (["optimization.lr="], "write PATH=VALUE,VALUE"),
        (["optimization.lrr=1"], "no setting lrr; did you mean lr"),
        (["optimization=1"], r"a group of settings; name one, such as optimization\.train"),
        (["optimization.lr.x=1"], r"optimization\.lr has no parts"),
        (["model.head_options=1"], r"name one option, such as model\.head_options\.NAME"),
        (["optimization.lr=fast"], "'fast' should be a number"),
        (["optimization.ohem=1"], "'1' should be true or false"),
        (["optimization.train=none"], "unknown value 'none'"),
        (["optimization.lr=1", "optimization.lr=2"], "given twice"),
        (["a.yaml", "optimization.lr=2"], "one file, or settings"),
        (["evaluation.scales=[0.5,1"], r"evaluation\.scales: .* is no value"),
        (["/nowhere/a.yaml"], "cannot read the sweep /nowhere/a.yaml: No such file"),
    ],
)
def test_mistake_is_named(words, message):
    with pytest.raises(ValueError, match=message):
        sweep_of(words)
