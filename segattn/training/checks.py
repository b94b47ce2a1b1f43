"""Values of an experiment that no run can use, found before anything is computed."""

from __future__ import annotations

from operator import attrgetter

from segattn.config import Experiment, to_dict


def check(config: Experiment) -> None:
    """Raise ValueError for a value that no run can use; `Augmentation` and `Evaluation` check theirs when they are built."""
    to_dict(config)  # every number is finite
    for name in _ABOVE_0:
        if (value := attrgetter(name)(config)) <= 0:
            raise ValueError(f"{name} should be above 0, not {value}")
    for name in _NOT_NEGATIVE:
        if (value := attrgetter(name)(config)) < 0:
            raise ValueError(f"{name} should be 0 or more, not {value}")
    optimization = config.optimization
    if not 0 <= optimization.ema_decay < 1:
        raise ValueError(f"optimization.ema_decay={optimization.ema_decay} should be at least 0 (off) and below 1")
    if optimization.batch_size % optimization.accumulation:
        raise ValueError(
            f"optimization.batch_size {optimization.batch_size} cannot be split into {optimization.accumulation} parts"
        )
    if optimization.class_weights and optimization.class_balance != "none":
        raise ValueError("optimization.class_weights and class_balance both set the class weights; use one of them")
    if optimization.class_weights and (min(optimization.class_weights) < 0 or max(optimization.class_weights) == 0):
        raise ValueError(f"optimization.class_weights {optimization.class_weights} should be 0 or more, not all 0")
    if optimization.train == "head" and config.model.pretrained is None:
        raise ValueError(
            "optimization.train=head freezes the backbone, and a random one has learnt nothing; give model.pretrained a run, "
            "a trunk of segattn zoo or a file"
        )
    if config.model.init_head == "trunk" and config.model.pretrained is None:
        raise ValueError("model.init_head=trunk starts from the head of a pretrained network; give model.pretrained")
    if optimization.compile and optimization.activation_checkpointing:
        raise ValueError("optimization.compile and activation_checkpointing cannot be combined; turn one of them off")


_ABOVE_0 = (
    *("optimization.iterations", "optimization.batch_size", "optimization.lr", "optimization.accumulation"),
    *("checkpoint_every", "log_every", "features.copies"),
)
_NOT_NEGATIVE = (
    *("optimization.momentum", "optimization.weight_decay", "optimization.min_lr", "optimization.warmup"),
    *("model.auxiliary_weight", "validate_every", "seed", "features.seed"),
)
