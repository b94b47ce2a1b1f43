"""A job on several GPUs or machines: torchrun starts a process for each GPU, and all of them execute the job together.

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:PORT --rdzv-id ID \\
        -m segattn.study.engines.distributed JOB.json

On each machine one process of the engine runs this command. The first of them holds the meeting point, HOST:PORT.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from segattn.study import failures
from segattn.study.job import decoded, execute
from segattn.training.interruption import Interrupted


def command(file: Path, *, nodes: int, processes: int, endpoint: str, identity: str) -> list[str]:
    """What each machine runs, as words.

    Args:
        processes: on each machine.
        endpoint: host and port of the first machine, where all of them meet.
        identity: of the run, for machines that meet at the same place.
    """
    return [
        sys.executable,
        "-P",
        "-m",
        "torch.distributed.run",
        f"--nnodes={nodes}",
        f"--nproc-per-node={processes}",
        "--max-restarts=0",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={endpoint}",
        f"--rdzv-id={identity}",
        "-m",
        "segattn.study.engines.distributed",
        str(file),
    ]


def endpoint_of_slurm() -> str:
    """The first machine of this Slurm job, and a port that belongs to the job."""
    hosts = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]], capture_output=True, text=True, check=True
    ).stdout.split()
    return f"{hosts[0]}:{20_000 + int(os.environ['SLURM_JOB_ID']) % 10_000}"


def main(file: str) -> int:
    """One of the processes: execute the job in the file. A mistake is noted in `failure.json`; what was stopped resumes."""
    job = decoded(Path(file).read_text(encoding="utf-8"))
    first = os.environ.get("RANK", "0") == "0"
    try:
        execute(job, on_notice=lambda line: print(line, flush=True))
    except Interrupted as stopped:
        print(f"segattn: {stopped}", flush=True)
        return 1
    except ValueError as error:
        if first:
            failures.write(job.folders, str(error), 1)
        print(f"segattn: error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
