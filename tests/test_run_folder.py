"""A run's folder belongs to one experiment, also when experiments have learnt new settings since."""

import json

import pytest
import tiny

from segattn import run_folder


def test_a_setting_younger_than_the_folder_counts_as_its_default(tmp_path):
    run_folder.claim(tmp_path, tiny.TINY)
    path = tmp_path / "experiment.json"
    older = json.loads(path.read_text())
    del older["evaluation"]["strata"]
    path.write_text(json.dumps(older))
    run_folder.refuse_another(tmp_path, tiny.TINY)
    with pytest.raises(ValueError, match=r"different: evaluation\.strata"):
        run_folder.refuse_another(tmp_path, tiny.experiment(evaluation={"strata": False}))


def test_another_experiment_is_named_by_what_differs(tmp_path):
    run_folder.claim(tmp_path, tiny.TINY)
    with pytest.raises(ValueError, match=r"different: optimization\.lr, seed"):
        run_folder.refuse_another(tmp_path, tiny.experiment(seed=7, optimization={"lr": 0.5}))
