from types import SimpleNamespace

import pytest

from segattn.cli.study import SlurmOptions, StudyArguments
from segattn.cli.study.engine import engine_of, minutes
from segattn.study.engines.local import Local
from segattn.study.engines.ray import Ray
from segattn.study.engines.slurm import Slurm


def engine(**options):
    return engine_of(StudyArguments(**options))


def test_without_options_the_command_runs_the_study_itself():
    assert engine() is None


def test_any_share_asks_for_workers():
    assert engine(jobs=3) == Local(jobs=3)
    assert engine(cores_per_run=2, device="cpu") == Local(jobs=1, cores_per_run=2, device="cpu")
    assert engine(engine="local") == Local()


def test_other_engines_take_the_same_shares():
    assert engine(engine="ray", gpus_per_run=0.5) == Ray(gpus_per_run=0.5)
    of_cluster = SlurmOptions(
        timeout="2h", partition="gpu", account="lab", options={"qos": "low"}, on_interrupt="leave"
    )
    assert engine(engine="slurm", jobs=4, slurm=of_cluster) == Slurm(
        jobs=4, minutes=120, partition="gpu", account="lab", options={"qos": "low"}, leave=True
    )


def test_option_of_another_engine_is_refused():
    with pytest.raises(ValueError, match=r"--slurm\.partition is for --engine slurm"):
        engine(slurm=SlurmOptions(partition="gpu"))
    with pytest.raises(ValueError, match=r"--slurm\.on-interrupt is for --engine slurm"):
        engine(engine="ray", slurm=SlurmOptions(on_interrupt="leave"))


def test_several_processes_of_one_study_start_no_workers(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="--jobs starts processes of its own; start the study without torchrun"):
        engine(jobs=2)
    assert engine() is None


@pytest.mark.parametrize("text", ["", "0h", "10s", "h", "1:30:00", "-1h", "20"])
def test_time_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="should be a time of at least a minute"):
        minutes(text)


def test_parameters_of_sbatch_are_those_that_were_chosen():
    pytest.importorskip("submitit")
    chosen = Slurm(partition="gpu", device="cuda", options={"qos": "low", "nice": 5, "signal_delay_s": 30}).parameters()
    assert (chosen["partition"], chosen["gpus_per_node"], chosen["qos"], chosen["signal_delay_s"]) == (
        "gpu",
        1,
        "low",
        30,
    )
    assert chosen["additional_parameters"] == {"requeue": True, "nice": 5}
    assert "account" not in chosen
    assert SimpleNamespace(**Slurm(jobs=2).parameters()).array_parallelism == 2
