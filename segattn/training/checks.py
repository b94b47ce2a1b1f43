"""Values of an experiment that no run can use, found before anything is computed."""

from __future__ import annotations

from operator import attrgetter
from typing import get_args, get_type_hints

from segattn.config import Experiment, Optimization, to_dict
from segattn.cost import head_facts
from segattn.training import formula, parts


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
    _check_optimizer(optimization)
    _check_loss(optimization)
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
    if optimization.train == "head" and config.model.pretrained is None and config.init_from is None:
        raise ValueError(
            "optimization.train=head freezes the backbone, and a random one has learnt nothing; give model.pretrained a run, "
            "a trunk of segattn zoo or a file"
        )
    parts.check(optimization)
    frozen = parts.frozen_parts(optimization.freeze)
    if "gates" in frozen and not head_facts(config.model.head, config.model.mode).gates:
        raise ValueError(
            f"optimization.freeze names gates, but head {config.model.head} has none; leave out one of them"
        )
    if frozen - {"gates"} and config.network.pretrained is None and config.init_from is None:
        raise ValueError(
            f"optimization.freeze={optimization.freeze!r} keeps weights as they are, and random ones have learnt nothing; give "
            "init_from or model.pretrained a trained network"
        )
    if config.network.init_head == "trunk" and config.model.pretrained is None:
        raise ValueError("model.init_head=trunk starts from the head of a pretrained network; give model.pretrained")
    if optimization.compile and optimization.activation_checkpointing:
        raise ValueError("optimization.compile and activation_checkpointing cannot be combined; turn one of them off")


def _check_optimizer(optimization: Optimization) -> None:
    """Ranges, and settings that the chosen optimiser or schedule would ignore."""
    default = Optimization()
    for name in ("optimizer", "schedule"):
        value, choices = getattr(optimization, name), get_args(get_type_hints(Optimization)[name])
        if value not in choices:
            raise ValueError(f"optimization.{name} is {value!r}; use one of {', '.join(choices)}")
    adamw = optimization.optimizer == "adamw"
    if not 0 <= optimization.momentum < 1:
        raise ValueError(f"optimization.momentum={optimization.momentum} should be at least 0 and below 1 (usual: 0.9)")
    if len(optimization.betas) != 2 or not all(0 <= beta < 1 for beta in optimization.betas):
        raise ValueError(
            f"optimization.betas {optimization.betas} should be two numbers of at least 0 and below 1 (usual: 0.9 0.999)"
        )
    if adamw and optimization.momentum != default.momentum:
        raise ValueError("optimization.momentum is SGD's; with optimizer adamw leave it out, or set optimization.betas")
    if not adamw and tuple(optimization.betas) != default.betas:
        raise ValueError("optimization.betas are AdamW's; with optimizer sgd leave them out, or set momentum")
    if adamw and optimization.min_lr >= optimization.lr:
        raise ValueError(
            f"optimization.min_lr={optimization.min_lr} is not below lr={optimization.lr}, so that the rate would never fall; "
            "set optimization.min_lr to 0, as is usual with adamw"
        )
    if optimization.schedule != "poly" and optimization.poly_power != default.poly_power:
        raise ValueError(f"optimization.poly_power has no meaning for schedule {optimization.schedule}; leave it out")
    if not 0 < optimization.layer_decay <= 1:
        raise ValueError(
            f"optimization.layer_decay={optimization.layer_decay} should be above 0 and at most 1 (off); usual: 0.65 to 0.95"
        )
    if optimization.layer_decay != 1 and optimization.train == "head":
        raise ValueError(
            "optimization.layer_decay is for the backbone, which train=head freezes; leave one of them out"
        )
    ratio = optimization.warmup_ratio
    if ratio is not None and not 0 <= ratio <= 1:
        raise ValueError(f"optimization.warmup_ratio={ratio} should be between 0 and 1; usual: 1e-6")
    if ratio is not None and not optimization.warmup:
        raise ValueError("optimization.warmup_ratio needs a warm-up; set optimization.warmup to its iterations")


def _check_loss(optimization: Optimization) -> None:
    """The formula of the loss, and settings that it would ignore."""
    names = {term.name for term in formula.parse(optimization.loss)}
    if not 0 <= optimization.label_smoothing < 1:
        raise ValueError(
            f"optimization.label_smoothing={optimization.label_smoothing} should be at least 0 and below 1; usual: 0.1"
        )
    for name in ("ohem", "label_smoothing"):
        if getattr(optimization, name) and "ce" not in names:
            raise ValueError(
                f"optimization.{name} is for ce, which loss {optimization.loss!r} does not have; add ce or leave it out"
            )


_ABOVE_0 = (
    *("optimization.iterations", "optimization.batch_size", "optimization.lr", "optimization.accumulation"),
    "optimization.head_lr_factor",
    *("checkpoint_every", "log_every", "features.copies"),
)
_NOT_NEGATIVE = (
    *("optimization.momentum", "optimization.weight_decay", "optimization.min_lr", "optimization.warmup"),
    *("optimization.poly_power", "optimization.clip_norm", "optimization.rare_class_sampling"),
    *("model.auxiliary_weight", "validate_every", "seed", "features.seed"),
)


def check_parts(optimization: Optimization, num_processes: int) -> None:
    """Raise ValueError unless each process can split its share of the batch into `accumulation` parts of one size."""
    share = optimization.batch_size // num_processes
    if share % optimization.accumulation:
        raise ValueError(
            f"each of {num_processes} processes has {share} images per batch, which cannot be split into "
            f"{optimization.accumulation} parts; change optimization.accumulation"
        )
