"""Trained networks as files for other runtimes: ONNX and torch.export's .pt2, compared with the network when written."""

from segattn.inference.export.runtime import ExportedModel as ExportedModel
from segattn.inference.export.runtime import is_exported as is_exported
from segattn.inference.export.runtime import load_exported as load_exported
