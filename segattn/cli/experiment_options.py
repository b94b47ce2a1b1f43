"""Experiments on the command line: short names for the fields that are typed most, which `segattn.config` does not know."""

from __future__ import annotations

from typing import Annotated

import tyro

from segattn import config
from segattn.cli.options import Details

ExperimentOptions = Annotated[config.Experiment, tyro.conf.arg(name="")]
"""An experiment whose fields are options of the command itself: `--seed`, `--optimization.lr`."""

DETAILS: Details = {
    (config.Experiment, "name"): tyro.conf.Suppress,
    (config.Data, "root"): tyro.conf.arg(aliases=("--data-root",), metavar="PATH"),
    (config.Data, "options"): tyro.conf.arg(aliases=("--data-options",)),
    (config.Model, "head"): tyro.conf.arg(aliases=("--head",)),
    (config.Model, "mode"): tyro.conf.arg(aliases=("--mode",)),
    (config.Model, "backbone"): tyro.conf.arg(aliases=("--backbone",)),
    (config.Model, "pretrained"): tyro.conf.arg(aliases=("--pretrained",)),
    (config.Model, "init_head"): tyro.conf.arg(aliases=("--init-head",)),
    (config.Optimization, "train"): tyro.conf.arg(aliases=("--train",)),
    (config.Optimization, "iterations"): tyro.conf.arg(aliases=("--iterations",)),
    (config.Optimization, "batch_size"): tyro.conf.arg(aliases=("--batch-size",)),
    (config.Optimization, "lr"): tyro.conf.arg(aliases=("--lr",)),
    (config.Optimization, "precision"): tyro.conf.arg(aliases=("--precision",)),
}
WITHOUT_HEAD: Details = {**DETAILS, (config.Model, "head"): tyro.conf.Suppress}
"""For commands that have `--heads`."""
