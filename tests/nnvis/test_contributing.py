"""What CONTRIBUTING shows is run: a layer, and a network with a block of its own, each in one file of a copy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where the examples go, in the order in which they stand there.
FILES = ("nnvis/layers/layer_scale.py", "nnvis/zoo/scaled.py")

CHECK = """
import numpy as np
import nnvis as nv
from tests.nnvis.check_layer import check_layer
from ui.document.catalog import BY_KEY

for shape in ((3,), (5, 4), (4, 5, 3)):
    check_layer(nv.LayerScale(0.5), shape)
    check_layer(nv.LayerScale(), shape, training=False)
g = nv.zoo.scaled_resnet(depth=2, input_shape=(8, 8, 3))
assert [block.kind for block in g.blocks.values()] == ["scaled_residual"] * 2
assert nv.Graph.from_json(g.to_json()).to_json() == g.to_json()
assert nv.gradcheck(g, samples_per_parameter=2).ok
trainer = nv.Trainer(nv.Network(g, seed=0), loss="cross_entropy", optimizer=nv.SGD(lr=0.05))
before = trainer.net.state_dict()
x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
assert np.isfinite(trainer.step(x, np.arange(4)))
after = trainer.net.state_dict()
assert all((after[name] != before[name]).any() for name in ("blocks.0.scale.gamma", "blocks.1.conv.weight"))
assert BY_KEY["LayerScale"].explanation == "Multiplies each channel by a learned factor"
assert BY_KEY["block:scaled_residual"].matches("layer scale")
print("fine")
"""


def examples() -> list[str]:
    return re.findall(r"```python\n(.+?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)


def test_a_layer_and_a_network_take_one_file_each(tmp_path):
    for folder in ("nnvis", "nnvis/layers", "nnvis/zoo"):
        _link_all(ROOT / folder, tmp_path / folder)
    for name in ("kernels", "tests", "ui"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, code in zip(FILES, examples(), strict=True):
        assert (ROOT / "CONTRIBUTING.md").read_text().index(name) and not (tmp_path / name).exists()
        (tmp_path / name).write_text(code)
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == "fine\n", done.stderr


def _link_all(source: Path, target: Path) -> None:
    """A folder of links to all that is in another one, but for folders that get a copy of their own."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.relative_to(ROOT).as_posix() not in ("nnvis/layers", "nnvis/zoo") and path.name != "__pycache__":
            (target / path.name).symlink_to(path)


def test_the_examples_follow_the_style(tmp_path):
    for number, code in enumerate(examples()):
        (tmp_path / f"example_{number}.py").write_text(code)
    assert len(examples()) == len(FILES)
    assert max(len(line) for code in examples() for line in code.splitlines()) <= 120
