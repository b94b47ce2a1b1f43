"""Where the paper, the authors' code and mmsegmentation differ: a named option each, its default, its reason."""

import pytest

from segattn import heads

# Head -> option -> default. Each option's effect is held against the oracle in the head's own test.
SWITCHES: dict[str, dict[str, object]] = {
    "non_local": {"pairwise": "embedded_gaussian"},
    "danet": {"cam_sign": "negative"},
    "dnlnet": {"preset": "mmseg", "whitening": None, "scale": None, "out_conv": None, "gamma": None},
    "denoised_nl": {"gr_mode": "sigmoid"},
    "reconet": {
        "size_handling": "resample",
        "rank_weights": "softmax",
        "with_gpm": False,
        "concat": True,
    },
    "flanet": {"upsample_classifier": False},
    "emanet": {"momentum": 0.1, "normalize_mean": True, "concat_input": True},
    "isanet": {"mask_padding": False},
    "ccnet": {"recurrence": 2},
    "psp": {"align_corners": True},
    "efficient": {"num_heads": 1, "normalisation": "softmax"},
    "external": {"tied": False},
    "agent": {"position_bias": True},
    "polarized": {"spatial_softmax": "paper", "layout": "parallel"},
    "large_kernel": {"kind": "large_kernel"},
    "neighborhood": {"bias": True},
    "ss2d": {"preset": "final"},
    "hamburger": {"gradient": "one_step", "random_init": True},
}


@pytest.mark.parametrize("head", SWITCHES)
def test_switch_has_its_default_and_is_explained_in_the_file(head):
    module = heads.module(head)
    options = heads.options(head)
    assert {name: options[name].default for name in SWITCHES[head]} == SWITCHES[head]
    _, differences = str(module.__doc__).split("Differences from the paper")
    explained = {name for name in SWITCHES[head] if name in differences}
    in_the_equations = {"pairwise", "recurrence", "normalisation", "layout", "kind", "preset"} & set(
        SWITCHES[head]
    )  # forms of the paper itself
    assert explained | in_the_equations == set(SWITCHES[head])


@pytest.mark.parametrize("head", SWITCHES)
def test_switch_of_the_mechanism_is_there_in_the_controlled_comparison(head):
    """What changes the surroundings only is not."""
    surroundings = {"with_gpm", "concat", "upsample_classifier", "concat_input"}
    options = heads.options(head, mode="controlled")
    wanted = SWITCHES[head].keys() - surroundings
    assert {name: options[name].default for name in wanted} == {name: SWITCHES[head][name] for name in wanted}
