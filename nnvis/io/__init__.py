"""Exchange with other projects' formats and array orders."""

from nnvis.io.torch_files import load_torch_state_dict, read_torch_state_dict
from nnvis.io.torch_layout import from_torch, to_torch

__all__ = ["from_torch", "load_torch_state_dict", "read_torch_state_dict", "to_torch"]
