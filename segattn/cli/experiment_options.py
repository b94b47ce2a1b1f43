"""Experiments on the command line: short names for the fields that are typed most, which `segattn.config` does not know."""

from __future__ import annotations

from typing import Annotated

import tyro

from segattn import config
from segattn.cli.options import Names

ExperimentOptions = Annotated[config.Experiment, tyro.conf.arg(name="")]
"""An experiment whose fields are options of the command itself: `--seed`, `--optimization.lr`."""

NAMES: Names = {
    (config.Experiment, "name"): None,
    (config.Data, "root"): "--data-root",
    (config.Data, "options"): "--data-options",
    (config.Model, "head"): "--head",
    (config.Model, "mode"): "--mode",
    (config.Model, "backbone"): "--backbone",
    (config.Optimization, "iterations"): "--iterations",
    (config.Optimization, "batch_size"): "--batch-size",
    (config.Optimization, "lr"): "--lr",
    (config.Optimization, "precision"): "--precision",
}
