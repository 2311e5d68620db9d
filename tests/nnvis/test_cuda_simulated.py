"""Networks on the GPU, run in Python by Numba's simulator."""

from __future__ import annotations

from pathlib import Path

from tests.simulator import passed_in


def test_layers_and_networks_on_the_gpu_agree_with_the_textbook_in_the_simulator():
    assert passed_in(Path(__file__).parent / "cuda") > 100
