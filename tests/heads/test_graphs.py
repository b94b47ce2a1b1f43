"""Recorded graphs of whole networks against the networks, at other batches and sizes than they were recorded with.

`python -m pytest -m "optin or not optin" tests/heads/test_graphs.py` runs all of it; the default run has a sample.
"""

import io
import itertools

import pytest
import torch

import segattn
from segattn import heads
from tests.inference.test_optimized import trained_looking

RECORDED = (65, 97)
OTHERS = (  # (batch, height, width) of images; a map has an eighth of the rows and columns, rounded up
    (1, 70, 101),
    (3, 41, 67),  # Denoised NL's half grid has 15 positions, fewer than channels
    (3, 209, 217),  # above FLANet's 24 slices, EMANet's 384 columns, and what `attend` and `ConvBnRelu` write out
    (1, 361, 377),  # above Denoised NL's block of 512 queries
)
FORMS = {
    "plain": lambda model: model,
    "float32": segattn.optimize,
    "bfloat16": lambda model: segattn.optimize(model, dtype=torch.bfloat16),
}


def images(batch, height, width):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height))


def trace(model, batch):
    return torch.jit.trace(model, images(batch, *RECORDED))


def dynamic_sizes():
    batch = torch.export.Dim("batch", min=1, max=16)
    height, width = (torch.export.Dim(side, min=33, max=1024) for side in ("height", "width"))
    return ({0: batch, 2: height, 3: width},)


def export(model, batch):
    return torch.export.export(model, (images(2, *RECORDED),), dynamic_shapes=dynamic_sizes()).module()


def in_onnx_runtime(file):
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = runtime.InferenceSession(file.getvalue(), options)
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def onnx_torchscript(model, batch):
    pytest.importorskip("onnx")
    file, axes = io.BytesIO(), {"images": {0: "batch", 2: "height", 3: "width"}}
    sample = images(batch, *RECORDED)
    torch.onnx.export(model, (sample,), file, dynamo=False, input_names=["images"], dynamic_axes=axes)
    return in_onnx_runtime(file)


def onnx_dynamo(model, batch):
    pytest.importorskip("onnxscript")
    file, sample = io.BytesIO(), images(2, *RECORDED)
    program = torch.onnx.export(model, (sample,), dynamo=True, dynamic_shapes=dynamic_sizes(), verbose=False)
    program.save(file)
    return in_onnx_runtime(file)


RECORDERS = (trace, onnx_torchscript, export, onnx_dynamo)


def in_sample(head, mode, form, recorder):
    """Whether the default run has it: what failed before, and each recorder with the head that depends on sizes most."""
    if recorder in (trace, onnx_torchscript):
        return mode == "faithful" and form == "plain"
    bounds = {("ccnet", "plain"), ("dnlnet", "bfloat16")} if recorder is export else {("ccnet", "plain")}
    return mode == "controlled" and (head, form) in bounds


def every_case():
    for head in heads.names():
        for mode, form, recorder in itertools.product(("faithful", "controlled"), FORMS, RECORDERS):
            if form == "bfloat16" and recorder in (onnx_torchscript, onnx_dynamo):
                continue  # refused, see below
            marks = () if in_sample(head, mode, form, recorder) else pytest.mark.optin
            if not marks and recorder is onnx_dynamo:
                marks = pytest.mark.long  # tests of segattn.export write the same graph
            yield pytest.param(head, mode, form, recorder, marks=marks, id=f"{head}-{mode}-{form}-{recorder.__name__}")


REFUSED = {("ss2d", trace), ("ss2d", onnx_torchscript), ("agent", onnx_torchscript), ("neighborhood", onnx_torchscript)}
"""Heads, and recorders that would keep the size of a map as a constant."""


def difference(graph, model, size):
    """The largest difference from the network's logits, relative to their standard deviation."""
    x = images(*size)
    with torch.no_grad():
        logits, expected = graph(x), model(x)
    assert logits.shape == expected.shape
    return ((logits - expected).abs().max() / expected.std()).item()


@pytest.mark.slow
@pytest.mark.parametrize(("head", "mode", "form", "recorder"), list(every_case()))
@pytest.mark.filterwarnings("ignore")  # the recorders' own, of tracing in general and of deprecated exporters
def test_graphs_hold_at_other_batches_and_sizes(head, mode, form, recorder):
    model = FORMS[form](trained_looking(head, mode=mode))
    most = (
        0.1 if form == "bfloat16" else 5e-3
    )  # ISANet with random weights amplifies rounding; a wrong graph is off by 1
    if (head, recorder) in REFUSED:
        with (
            torch.no_grad(),
            pytest.raises(ValueError, match=rf"({head}|scan) cannot be recorded by .*torch\.export"),
        ):
            recorder(model, 1)
        return
    with torch.no_grad():
        graph = recorder(model, 1)
    for size in OTHERS:
        assert difference(graph, model, size) < most, size


def written_out(head):
    model = trained_looking(head)
    for module in model.modules():
        if hasattr(module, "implementation"):
            module.implementation = "reference"
    return model


def with_sample(names, sample):
    return [pytest.param(name, marks=() if name == sample else pytest.mark.optin) for name in names]


@pytest.mark.parametrize("head", with_sample(heads.names(), "danet"))
@pytest.mark.filterwarnings("ignore")
def test_a_graph_traced_with_gradients_holds_too(head):
    model = trained_looking(head)
    if (head, trace) in REFUSED:
        pytest.skip("refused by name, see above")
    graph = torch.jit.trace(model, images(2, *RECORDED))
    for size in OTHERS[:3]:
        assert difference(graph, model, size) < 1e-4, size


@pytest.mark.parametrize(
    "head", with_sample([name for name in heads.names() if "implementation" in heads.options(name)], "hamburger")
)
@pytest.mark.parametrize("recorder", [trace, onnx_torchscript, pytest.param(export, marks=pytest.mark.optin)])
@pytest.mark.filterwarnings("ignore")
def test_the_written_out_forms_hold_too(head, recorder):
    model = written_out(head)
    if head == "ss2d" or (head, recorder) in REFUSED:
        pytest.skip("refused by name, see above and below")
    with torch.no_grad():
        graph = recorder(model, 2)
    for size in OTHERS[:2]:
        assert difference(graph, model, size) < 5e-3, size


@pytest.mark.parametrize("recorder", [trace, onnx_torchscript, export])
@pytest.mark.filterwarnings("ignore")
def test_a_loop_over_positions_is_refused_by_name(recorder):
    message = (
        r'ss2d with implementation="reference" cannot be recorded by .*; use implementation="fast" with torch.export'
    )
    with torch.no_grad(), pytest.raises(ValueError, match=message):
        recorder(written_out("ss2d"), 1)


@pytest.mark.filterwarnings("ignore")
def test_agent_is_refused_in_its_written_out_form_too():
    with torch.no_grad(), pytest.raises(ValueError, match=r"agent cannot be recorded by .*; use torch\.export"):
        onnx_torchscript(written_out("agent"), 1)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_based_onnx_in_bfloat16_is_refused_by_name():
    model = segattn.optimize(trained_looking("fcn"), dtype=torch.bfloat16)
    with pytest.raises(
        ValueError, match=r"optimized in bfloat16 cannot be exported to ONNX: .*; use optimize\(model\)"
    ):
        onnx_torchscript(model, 1)


@pytest.mark.optin
@pytest.mark.filterwarnings("ignore")
def test_onnx_runtime_refuses_bfloat16_by_name():
    model = segattn.optimize(trained_looking("fcn"), dtype=torch.bfloat16)
    with torch.no_grad(), pytest.raises(Exception, match="bfloat16"):
        onnx_dynamo(model, 1)


@pytest.mark.filterwarnings("ignore")
def test_a_network_in_training_is_not_traced():
    model = trained_looking("ccnet").train()
    with pytest.raises(RuntimeError, match="dict"):
        torch.jit.trace(model, images(2, *RECORDED))
