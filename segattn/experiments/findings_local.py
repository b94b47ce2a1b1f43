"""Every head on the zoo's trunk `streets-local`, frozen, from the trunk's own convolutions: the long form of `quick`.

    segattn study findings_local --heads all --seeds 5

The trunk's maps of 16,000 crops are computed once, 4.8 GB. Mechanisms start at random, their surroundings where the trunk's FCN
head left them. 400 generated scenes are scored. A run takes less than a minute of one core with AMX, the study about
90 minutes. docs/findings.md rests on it.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment, Features
from segattn.experiments import quick

SEEDS = 5


def experiment() -> Experiment:
    short = quick.experiment()
    return replace(
        short,
        name="findings_local",
        data=replace(short.data, train_images=4000, val_images=400),
        optimization=replace(short.optimization, iterations=600, warmup=30, ema_decay=0.99),
        features=Features(copies=4),
        evaluation=Evaluation(examples=1),
        checkpoint_every=600,
        log_every=50,
    )
