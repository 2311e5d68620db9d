"""How long ``nnvis train lenet5`` takes to its first step: the very first time, and when kernels are in the disk cache.

    python benchmarks/startup.py [NET]

Each start is a process of its own. The very first one compiles into an empty folder, and Python's own bytecode lies in
another one, as where nnvis is installed: not compiled anew at each start, even if this environment asks for that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

#: Prints the seconds since the process began to work, by stage.
STAGES = """
import sys, time
begin = time.perf_counter()
stages = {}
def stage(name):
    stages[name] = time.perf_counter() - begin
import numba; stage("import numba")
import nnvis as nv; import kernels.cpu; stage("import nnvis")
net = nv.Network(nv.zoo.build(sys.argv[1])); stage("network")
import numpy as np
trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.05, momentum=0.9))
fresh = trainer.prepare(64); stage("kernels")
trainer.step(np.zeros((64, *net.input_shape), np.float32), np.arange(64) % 10); stage("first step")
print(fresh, *[f"{name}={seconds:.2f}" for name, seconds in stages.items()])
"""


def environment(cache: str) -> dict[str, str]:
    own = {"NUMBA_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": f"{cache}/bytecode", "PYTHONUNBUFFERED": "1"}
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | own


def stages(net: str, cache: str) -> str:
    command = [sys.executable, "-c", STAGES, net]
    return subprocess.run(command, env=environment(cache), capture_output=True, text=True, check=True).stdout.strip()


def command_line(net: str, cache: str) -> float:
    """Seconds of ``nnvis train`` until its first step is reported."""
    words = ["train", net, "--epochs", "1", "--limit", "128", "--json", "--out", tempfile.mkdtemp(dir=cache)]
    start = time.perf_counter()
    command = [sys.executable, "-m", "nnvis", *words]
    with subprocess.Popen(command, env=environment(cache), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if '"loss"' in line:
                break
        seconds = time.perf_counter() - start
        run.kill()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("net", nargs="?", default="lenet5")
    net = parser.parse_args().net
    for measure in (stages, command_line):
        with tempfile.TemporaryDirectory() as cache:
            for start in ("very first", "warm"):
                print(f"{measure.__name__}, {start}: {measure(net, cache)}", flush=True)


if __name__ == "__main__":
    main()
