"""What the GPU kernels take of a multiprocessor, and how near to its peak products could come: it needs no GPU.

python benchmarks/cuda_model.py            both tables; says which kernels take more than what is kept
python benchmarks/cuda_model.py --update   keeps what they take now, in benchmarks/cuda_limits.json

A model, not a measurement: in it nothing ever waits. NVIDIA's ptxas must be in the path; with nvdisasm beside it
instructions are counted in the program that runs, else in PTX, which comes close: sixteen bytes are one load in either.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from kernels import cuda
from kernels.cuda import assembly, tiles
from kernels.cuda.assembly import CAPABILITIES, Capability, MissingToolError, Resources
from kernels.cuda.jit import KERNELS
from kernels.cuda.loops import Program
from kernels.cuda.matmul import splits_of
from kernels.cuda.occupancy import occupancy
from kernels.cuda.tiles import LARGE, SMALL, Sizes, Tile

KEPT = Path(__file__).with_name("cuda_limits.json")
#: Registers and bytes of shared memory that a kernel may take more than what is kept.
MARGIN = Resources(registers=4, shared=256, spilled=0)

# --- what kernels take ---------------------------------------------------------------------------


def load_kernels() -> None:
    for module in pkgutil.iter_modules(cuda.__path__):
        importlib.import_module(f"kernels.cuda.{module.name}")


def text_of(capability: Capability) -> str:
    return "{}.{}".format(*capability)


def taken(name: str) -> dict[str, list]:
    """By capability: registers, bytes of shared memory, bytes spilled, and percent of occupancy."""
    found = {text_of(each): (assembly.resources(name, each), each) for each in CAPABILITIES}
    return {
        key: [used.registers, used.shared, used.spilled, round(100 * occupancy(used, capability))]
        for key, (used, capability) in found.items()
    }


def kept() -> dict:
    return json.loads(KEPT.read_text())


def keep(table: dict[str, dict[str, list]]) -> None:
    """Write the table, a kernel a line."""
    lines = ",\n".join(f'  "{name}": {json.dumps(table[name])}' for name in sorted(table))
    columns = '["registers", "shared memory", "spilled", "occupancy, %"]'
    KEPT.write_text(f'{{"ptxas": "{assembly.ptxas_release()}", "columns": {columns}, "kernels": {{\n{lines}\n}}}}\n')


def excess(now: dict[str, list], before: dict[str, list]) -> list[str]:
    """In words, what a kernel takes more than what is kept of it."""
    found = []
    for key, (registers, shared, spilled, occupied) in now.items():
        most_registers, most_shared, _, least = before[key]
        if registers > most_registers + MARGIN.registers:
            found.append(f"{registers} registers on {key}, kept are {most_registers}")
        if shared > most_shared + MARGIN.shared:
            found.append(f"{shared} bytes of shared memory on {key}, kept are {most_shared}")
        if spilled:
            found.append(f"{spilled} bytes spilled on {key}")
        if occupied < least:
            found.append(f"an occupancy of {occupied} % on {key}, kept is {least} %")
    return found


def print_resources(table: dict[str, dict[str, list]]) -> None:
    print(f"| kernel | registers {' / '.join(map(text_of, CAPABILITIES))} | shared memory | spilled | occupancy, % |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in sorted(table):
        columns = zip(*table[name].values(), strict=True)
        registers, shared, spilled, occupied = (" / ".join(map(str, column)) for column in columns)
        print(f"| {name} | {registers} | {shared} | {spilled} | {occupied} |")


# --- the mix of instructions ---------------------------------------------------------------------


@dataclass(frozen=True)
class Mix:
    """Of a product: instructions of one step of the innermost loop, and of one round, which brings a tile's depth."""

    inner: Counter
    whole: Counter

    @property
    def inner_share(self) -> float:
        return self.inner["fma"] / self.inner["all"]

    @property
    def whole_share(self) -> float:
        return self.whole["fma"] / self.whole["all"]


def tile_of(name: str) -> Tile:
    return LARGE if name.endswith(f"_{LARGE.side}") else SMALL


def mix_of(name: str, capability: Capability) -> Mix:
    """Of the kernel of a product: counted in SASS where it can be read, else in PTX."""
    program = Program(assembly.program(name, capability))
    loops = [loop for loop in program.loops if program.mix_of(loop)["fma"]]
    inner = loops[0]
    whole = next(loop for loop in loops if program.mix_of(loop)["barriers"])
    tile, step = tile_of(name), program.round_of(inner)
    times = tile.depth * tile.part**2 // step["fma"]
    return Mix(step, program.round_of(whole, inner, times))


# --- the roofline --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Device:
    """A GPU: multiprocessors, their float32 lanes, clock (GHz) and the rate of its memory (GB/s)."""

    name: str
    capability: Capability
    multiprocessors: int
    lanes: int
    clock: float
    rate: float

    @property
    def peak(self) -> float:
        """Floating-point operations a second."""
        return 2e9 * self.multiprocessors * self.lanes * self.clock


#: NVIDIA's data sheets: T4 8.1 Tflop/s; A100 SXM 40 GB 19.5 Tflop/s; H100 SXM 67 Tflop/s.
DEVICES = (
    Device("T4", (7, 5), 40, 64, 1.59, 320),
    Device("A100", (8, 0), 108, 64, 1.41, 1555),
    Device("H100", (9, 0), 132, 128, 1.98, 3350),
)
#: Of every multiprocessor: warps that issue an instruction in each cycle, and bytes from shared memory in each.
ISSUED, SHARED = 4, 128
WARP = 32
#: Kernels whose loops are looked into.
PRODUCTS = [
    f"{kind}_{side}" for kind in ("matmul_nn", "conv_forward", "conv_data", "conv_weights") for side in (128, 64)
]


@dataclass(frozen=True)
class Case:
    """A product of a network: its name, its kernel, its sizes, and how many floats its arrays have."""

    title: str
    kernel: str
    sizes: Sizes
    floats: int


def product_case(size: int) -> Case:
    return Case(f"matrix product {size}", "matmul_nn", Sizes(size, size, size, size), 3 * size**2)


def conv_cases(images: int, side: int, inputs: int, outputs: int) -> list[Case]:
    """The three products of a 3x3 convolution of stride 1."""
    pixels, taps = images * side**2, 9
    floats = pixels * (inputs + outputs) + taps * inputs * outputs
    splits = splits_of(taps * inputs, outputs, pixels)
    weights = Sizes(taps * inputs, outputs, pixels, outputs, splits=splits)
    title = f"{images}x{side}x{side}x{inputs} -> {outputs}"
    return [
        Case(f"conv forward {title}", "conv_forward", Sizes(pixels, outputs, taps * inputs, outputs), floats),
        Case(f"conv data {title}", "conv_data", Sizes(pixels, inputs, taps * outputs, inputs), floats),
        Case(f"conv weights {title}", "conv_weights", weights, floats + 2 * splits * taps * inputs * outputs),
    ]


def cases() -> list[Case]:
    products = [product_case(size) for size in (512, 1024, 4096)]
    return products + conv_cases(64, 32, 64, 64) + conv_cases(64, 16, 128, 256)


def roofs(mix: Mix, device: Device) -> dict[str, float]:
    """Cycles of a multiprocessor for one round of a warp, by what they are spent on."""
    return {
        "multiply-adds": mix.whole["fma"] * WARP / device.lanes,
        "instructions": mix.whole["all"] / ISSUED,
        "shared memory": mix.whole["shared bytes"] * WARP / SHARED,
    }


def filled(sizes: Sizes, tile: Tile, device: Device) -> float:
    """Multiply-adds that are wanted, of those that all multiprocessors could do until the last one is done."""
    tile_count = -(-sizes.rows // tile.side) * -(-sizes.columns // tile.side) * sizes.splits
    turns = -(-tile_count // device.multiprocessors)
    depth = -(-sizes.split_depth // tile.depth) * tile.depth
    wanted = sizes.rows * sizes.columns * sizes.inner
    return wanted / (turns * device.multiprocessors * tile.side**2 * depth)


def reach(case: Case, device: Device) -> tuple[float, str]:
    """The share of the peak that a case can reach at most, and what keeps it there."""
    tile = tiles.fitting(case.sizes)
    cycles = roofs(mix_of(f"{case.kernel}_{tile.side}", device.capability), device)
    slowest = max(cycles, key=lambda name: cycles[name])
    engine, whole = cycles["multiply-adds"] / cycles[slowest], filled(case.sizes, tile, device)
    flops = 2 * case.sizes.rows * case.sizes.columns * case.sizes.inner
    memory = flops / device.peak / (4 * case.floats / (1e9 * device.rate))
    if memory < engine * whole:
        return memory, "memory"
    return engine * whole, slowest if engine < whole else "filling the GPU"


# --- what is printed -----------------------------------------------------------------------------


def print_mixes() -> None:
    print("| loop | FMA, inner | FMA, whole | shared bytes an FMA | global bytes an FMA | reach: T4 | A100 | H100 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in PRODUCTS:
        mixes = [mix_of(name, device.capability) for device in DEVICES]
        mix, whole = mixes[1], mixes[1].whole
        loads = (f"{whole[kind] / whole['fma']:.3f}" for kind in ("shared bytes", "global bytes"))
        ends = (engine_text(each, device) for each, device in zip(mixes, DEVICES, strict=True))
        print(f"| {name} | {mix.inner_share:.0%} | {mix.whole_share:.0%} | {' | '.join([*loads, *ends])} |")


def engine_text(mix: Mix, device: Device) -> str:
    """What the loop reaches of the peak, and its slowest part."""
    cycles = roofs(mix, device)
    slowest = max(cycles, key=lambda name: cycles[name])
    return f"{cycles['multiply-adds'] / cycles[slowest]:.0%} {slowest}"


def print_cases() -> None:
    print(f"| case | tile | {' | '.join(device.name for device in DEVICES)} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for case in cases():
        found = (reach(case, device) for device in DEVICES)
        shares = (f"{share:.0%} {limit}" for share, limit in found)
        print(f"| {case.title} | {tiles.fitting(case.sizes).side} | {' | '.join(shares)} |")


def report_excess(table: dict[str, dict[str, list]]) -> int:
    """Print what takes more than what is kept; how many kernels do."""
    before = kept()["kernels"]
    worse = {name: excess(now, before[name]) if name in before else ["not kept yet"] for name, now in table.items()}
    found = {name: words for name, words in worse.items() if words}
    for name, words in found.items():
        print(f"{name}: {'; '.join(words)}")
    return len(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="keep what the kernels take now")
    args = parser.parse_args()
    load_kernels()
    try:
        table = {name: taken(name) for name in KERNELS}
    except MissingToolError as error:
        print(f"There is nothing to model with: {error}")
        return 0
    print_resources(table)
    print()
    print(f"Counted in {'SASS' if assembly.disassembles() else 'PTX'}; the shares are of 8.0.\n")
    print_mixes()
    print()
    print_cases()
    if args.update:
        keep(table)
        return 0
    return min(1, report_excess(table))


if __name__ == "__main__":
    sys.exit(main())
