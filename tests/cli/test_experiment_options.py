"""Fields of experiments as options."""

import dataclasses
from dataclasses import field, make_dataclass

import pytest

from segattn import config
from segattn.cli import arguments
from segattn.cli.experiment_options import DETAILS, ExperimentOptions
from tests import tiny


def parse(*words):
    options = make_dataclass("Options", [("config", ExperimentOptions, field(default=tiny.experiment()))])
    return arguments.parse(options, words, command="train", description="").config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("channels=16", {"channels": 16}),
        ("channels=16,dropout=0.5", {"channels": 16, "dropout": 0.5}),
        ("implementation=fast", {"implementation": "fast"}),
        ("multi_grid=[1,2,4],contract_dilation=false", {"multi_grid": [1, 2, 4], "contract_dilation": False}),
        ("{stem: plain, width: 8}", {"stem": "plain", "width": 8}),
        ('{"stem": "plain"}', {"stem": "plain"}),
        ("stem=null,width=8", {"stem": None, "width": 8}),
        ("{}", {}),
    ],
)
def test_options_are_read_from_the_command_line(text, expected):
    assert parse("--model.head-options", text).model.head_options == expected


@pytest.mark.parametrize("text", ["channels", "channels=", "channels=16,dropout", "[1", "{a: b: c}"])
def test_options_of_another_form_are_refused(text):
    with pytest.raises(ValueError, match=r"--model.head-options: .* is not of the form name=value,name=value"):
        parse("--model.head-options", text)


def test_short_names_reach_their_section():
    experiment = parse("--head", "ccnet", "--iterations", "9", "--data-root", "photos", "--lr", "0.5", "--seed", "3")
    assert (experiment.model.head, experiment.optimization.iterations, experiment.data.root) == ("ccnet", 9, "photos")
    assert (experiment.optimization.lr, experiment.seed) == (0.5, 3)
    experiment = parse("--train", "head", "--pretrained", "runs/a", "--init-head", "trunk")
    assert (experiment.optimization.train, experiment.model.pretrained) == ("head", "runs/a")
    assert experiment.model.init_head == "trunk"


@pytest.mark.parametrize(
    ("words", "choices"), [(("--train", "heads"), "all, head"), (("--init-head", "fcn"), "random, trunk")]
)
def test_choices_are_named(words, choices):
    with pytest.raises(ValueError, match=f"{words[0]}: unknown value '{words[1]}'.* Choices: {choices}"):
        parse(*words)


def test_names_are_of_fields_that_exist():
    for owner, name in DETAILS:
        assert name in [each.name for each in dataclasses.fields(owner)]


def test_name_of_an_experiment_is_no_option():
    assert parse().name == tiny.experiment().name
    with pytest.raises(ValueError, match="has no option --name"):
        parse("--name", "other")


def test_experiment_is_one_of_the_plain_dataclasses():
    assert type(parse().data) is config.Data
    assert parse() == tiny.experiment()
