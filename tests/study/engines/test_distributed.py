"""A run on several machines: what Slurm is asked for, and two agents of torchrun that meet on this machine."""

import os
import socket
import subprocess
import sys

import pytest

from segattn import config as configuration
from segattn import records
from segattn.study import failures
from segattn.study.engines.distributed import command
from segattn.study.engines.slurm import Slurm
from segattn.study.job import Job
from tests.places import ROOT
from tests.study.engines.conftest import SHORT

SCRIPT = """\
#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-3%4
#SBATCH --cpus-per-task=16
#SBATCH --error=FOLDER/%A_%a_0_log.err
#SBATCH --gpus-per-node=8
#SBATCH --job-name=segattn
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=FOLDER/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=720
#SBATCH --wckey=submitit

# setup
export PYTHONSAFEPATH=1

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output FOLDER/%A_%a_%t_log.out --error FOLDER/%A_%a_%t_log.err COMMAND
"""


def test_script_for_two_nodes_of_eight_gpus(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    engine = Slurm(nodes=2, gpus_per_run=8, cores_per_run=16, minutes=720, partition="gpu", account="lab")
    executor = submitit.SlurmExecutor(tmp_path / "slurm")
    executor.update_parameters(**engine.parameters())
    executor.parameters["map_count"] = 4
    script = executor._make_submission_file_text("COMMAND", "uid")
    assert script.replace(str(tmp_path / "slurm"), "FOLDER") == SCRIPT
    assert engine.processes == 8


def test_each_node_runs_the_same_command():
    words = command("job.json", nodes=2, processes=8, endpoint="node1:20007", identity="7")
    assert words[:4] == [sys.executable, "-P", "-m", "torch.distributed.run"]
    assert " ".join(words[4:]) == (
        "--nnodes=2 --nproc-per-node=8 --max-restarts=0 --rdzv-backend=c10d --rdzv-endpoint=node1:20007 --rdzv-id=7 "
        "-m segattn.study.engines.distributed job.json"
    )


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def agents(job, tmp_path):
    """Two agents, as on two machines; their exit codes and what they print."""
    file = tmp_path / "job.json"
    file.write_text(job.encoded())
    words = command(file, nodes=2, processes=1, endpoint=f"localhost:{free_port()}", identity="test")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    printed = [agent.communicate(timeout=300)[0] for agent in started]
    return [agent.returncode for agent in started], "".join(printed)


@pytest.mark.long
def test_two_agents_meet_and_train_one_network(tmp_path):
    job = Job(runs=[("fcn-faithful-s0", configuration.to_dict(SHORT))], out=str(tmp_path / "out"), device="cpu")
    codes, printed = agents(job, tmp_path)
    assert codes == [0, 0], printed
    assert records.read(tmp_path / "out/fcn-faithful-s0/record.json").iterations == 30


@pytest.mark.long
def test_mistake_is_noted_once_and_both_agents_end(tmp_path):
    job = Job(runs=[("fcn", configuration.to_dict(SHORT))], out=str(tmp_path / "out"), device="cpu", version="0.0.1")
    codes, printed = agents(job, tmp_path)
    assert 0 not in codes, printed
    assert "the study was started with 0.0.1" in failures.read(tmp_path / "out/fcn").message
