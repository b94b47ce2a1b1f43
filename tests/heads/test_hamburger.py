"""Hamburger against its equation, written with loops, and its one-step gradient against the formula."""

import pytest
import torch
from torch import Tensor

from segattn.heads.hamburger import MatrixDecomposition
from tests.heads.oracle_layers import awake, conv, norm

IMPLEMENTATIONS = ["reference", "fast"]
EPS = 1e-6


def updated(factor: Tensor, target: Tensor, other: Tensor) -> Tensor:
    """Every element by itself: factor * target / (factor other^T other + eps)."""
    out = torch.zeros_like(factor)
    for m in range(len(factor)):
        for r in range(factor.shape[1]):
            below = sum(
                factor[m, s] * sum(other[j, s] * other[j, r] for j in range(len(other))) for s in range(factor.shape[1])
            )
            out[m, r] = factor[m, r] * target[m, r] / (below + EPS)
    return out


def factors_oracle(block: MatrixDecomposition, X: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """D (C, R) and Z (N, R) of one map (C, N)."""
    Z = torch.stack(
        [torch.stack([X[:, n].dot(D[:, r]) for r in range(D.shape[1])]).softmax(0) for n in range(X.shape[1])]
    )
    for _ in range(block.num_rounds):
        Z = updated(Z, X.T @ D, D)
        D = updated(D, X @ Z, Z)
    return D, updated(Z, X.T @ D, D)


def oracle(block: MatrixDecomposition, x: Tensor) -> Tensor:
    """ReLU(F + BN(W_u D Z^T)) in evaluation."""
    out = torch.zeros_like(x).flatten(2)
    for b, sample in enumerate(x.flatten(2)):
        N = sample.shape[1]
        X = torch.stack([conv(block.embed, sample[:, n]).relu() for n in range(N)], dim=1)
        D, Z = factors_oracle(block, X, block.atoms[0])
        for n in range(N):
            rebuilt = sum(Z[n, r] * D[:, r] for r in range(D.shape[1]))
            out[b, :, n] = (sample[:, n] + norm(block.bn, conv(block.project, rebuilt))).relu()
    return out.view_as(x)


def block_of(channels: int = 6, **options) -> MatrixDecomposition:
    torch.manual_seed(0)
    return awake(MatrixDecomposition(channels, **{"num_atoms": 3, "num_rounds": 2, **options}))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(3, 4), (1, 1), (5, 2)])
def test_block_equals_the_equation(size, implementation):
    block, x = block_of(implementation=implementation), torch.randn(2, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


def test_factors_are_non_negative_and_more_rounds_rebuild_better():
    X = torch.rand(2, 7, 30, dtype=torch.float64)
    errors = []
    for num_rounds in range(1, 8):
        block = block_of(7, num_rounds=num_rounds)
        D, Z = block.decompose(X)
        assert min(D.min(), Z.min()) >= 0
        assert torch.linalg.matrix_rank(D @ Z.mT).max() <= 3
        errors.append((X - D @ Z.mT).square().sum().item())
    assert errors == sorted(errors, reverse=True)


def test_one_step_gradient_is_the_formula_and_not_that_of_all_rounds():
    """dX = D (Z * (G^T D) / E)^T with E = Z D^T D + eps, all of before the last update, and G the gradient of D Z^T."""
    X = torch.rand(1, 6, 10, dtype=torch.float64, requires_grad=True)
    G = torch.randn(1, 6, 10, dtype=torch.float64)
    gradients = {}
    for gradient in ("one_step", "full"):
        block = block_of(gradient=gradient)
        D, Z = block.decompose(X)
        (gradients[gradient],) = torch.autograd.grad(D @ Z.mT, X, G)
    with torch.no_grad():
        D = block.atoms
        Z = (X.mT @ D).softmax(2)
        for _ in range(block.num_rounds):
            Z = block.update(Z, X.mT @ D, D)
            D = block.update(D, X @ Z, Z)
        expected = D @ (Z * (G.mT @ D) / (Z @ (D.mT @ D) + EPS)).mT
    torch.testing.assert_close(gradients["one_step"], expected)
    cosine = torch.nn.functional.cosine_similarity(gradients["full"].flatten(), expected.flatten(), dim=0)
    assert cosine < 0.99


@pytest.mark.parametrize("random_init", [True, False])
def test_training_draws_atoms_for_every_image_and_evaluation_never(random_init):
    block = block_of(random_init=random_init)
    X = torch.rand(1, 6, 10, dtype=torch.float64).expand(2, -1, -1)
    for training in (True, False):
        first, again = (block.train(training).decompose(X)[0] for _ in range(2))
        drawn = training and random_init
        assert torch.equal(first, again) != drawn
        assert torch.equal(first[0], first[1]) != drawn
    assert "atoms" in block.state_dict()


def test_positions_in_another_order_give_the_output_in_that_order():
    block, x = block_of(), torch.randn(1, 6, 1, 12, dtype=torch.float64)
    order = torch.randperm(12)
    torch.testing.assert_close(block(x[..., order]), block(x)[..., order])


def test_a_map_of_zeros_stays_finite_and_adds_nothing_but_the_norm():
    D, Z = block_of().decompose(torch.zeros(1, 6, 4, dtype=torch.float64))
    assert torch.equal(D @ Z.mT, torch.zeros(1, 6, 4, dtype=torch.float64))


def test_affinity_is_a_share_and_coefficients_are_those_of_the_pixel():
    block, x = block_of(), torch.randn(2, 6, 3, 5, dtype=torch.float64)
    maps, (_, Z) = block.maps(x, (1, 2)), block.factors(x)
    torch.testing.assert_close(maps["affinity"].sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(maps["coefficients"][:, 0], Z[:, 1 * 5 + 2])
    strongest = Z[0, 1 * 5 + 2].argmax()
    torch.testing.assert_close(maps["atom_1"][0].flatten(), Z[0, :, strongest])


def test_no_atoms_or_rounds_are_refused():
    with pytest.raises(ValueError, match="num_atoms=0 and num_rounds=6: use at least 1 of each"):
        MatrixDecomposition(8, num_atoms=0)
