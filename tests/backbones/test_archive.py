"""Files that torch.save wrote: a flipped bit is seen, and what is no weight is named."""

import pytest
import torch

from segattn.backbones import archive


@pytest.fixture
def saved(tmp_path):
    state = {"a": torch.arange(600.0).reshape(20, 30), "b": torch.ones(7, dtype=torch.long)}
    torch.save(state, tmp_path / "weights.pth")
    return tmp_path / "weights.pth", state


def test_archive_reads_as_it_was_written(saved):
    path, state = saved
    assert all(torch.equal(value, state[name]) for name, value in archive.read(path).items())


def test_flipped_bit_in_a_tensor_is_named(saved):
    path, state = saved
    content = bytearray(path.read_bytes())
    at = content.index(state["a"].numpy().tobytes()) + 1000
    content[at] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged .the CRC of 'weights/data/0' is another"):
        archive.read(path)


def test_file_of_the_format_before_archives_reads(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert archive.read(tmp_path / "old.pth")["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (torch.tensor([1.0, float("inf")]), "a is not finite"),
        (torch.tensor([float("nan")], dtype=torch.float16), "a is not finite"),
        (torch.empty(3, device="meta"), "a is on the meta device"),
        (torch.eye(3).to_sparse(), "a is not a dense tensor"),
        (torch.ones(2, dtype=torch.complex64), "a is not a dense tensor of real numbers"),
        (torch.ones(2, dtype=torch.long), "a is int64, not of floating-point numbers"),
        (torch.ones(2, dtype=torch.bool), "a is bool, not of floating-point numbers"),
    ],
    ids=str,
)
def test_tensor_that_is_no_weight_is_named(value, fault):
    assert archive.fault_of({"note": "text", "a": value}, {"a": torch.zeros(2)}).startswith(fault)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_weights_too(dtype):
    assert archive.fault_of({"a": torch.ones(2, dtype=dtype)}, {"a": torch.zeros(2)}) == ""
