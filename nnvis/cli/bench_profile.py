"""``nnvis bench profile NET``: where a training step spends its time."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json, add_net_options, add_shape_options, count
from nnvis.cli.bench import time_text
from nnvis.cli.compute import using_threads
from nnvis.cli.nets import NET_HELP, is_graph_file, load_graph, shape_options

if TYPE_CHECKING:
    from nnvis.bench.profile import NodeTime, Profile
    from nnvis.graph import Graph

EXAMPLES = """\
nnvis bench profile resnet20
nnvis bench profile vgg11 --batch 256 --threads 1 --top 40
nnvis bench profile resnet18 --input-shape 224x224x3 --classes 1000 --batch 8
"""

_COLUMNS = ["…node", "kind", ">forward", ">backward", ">both", ">share", ">Gflop/s", ">back", ">of roof"]
_LEGEND = """
of roof: least time for the textbook's operations at {peak.gflops:.0f} Gflop/s, or for each array once at
{peak.gigabytes:.0f} GB/s (both measured just now, {peak.threads} threads), over the time taken; above 100 % where an
algorithm multiplies less, or where caches hold the arrays."""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    add_shape_options(parser)
    add_net_options(parser)
    parser.add_argument("--batch", type=count, default=64, metavar="N", help="examples (64)")
    parser.add_argument("--threads", type=count, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--steps", type=count, default=7, metavar="N", help="steps, whose median counts (7)")
    parser.add_argument("--top", type=count, default=20, metavar="N", help="nodes to list (20)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Take the times and print them."""
    from nnvis.bench.profile import profile

    graph = _graph(args)
    with using_threads(args.threads):
        found = profile(graph, args.batch, args.steps)
    if args.json:
        nodes = [asdict(node) for node in found.nodes]
        console.print_json({"step": found.step, "peak": asdict(found.peak), "nodes": nodes})
    else:
        _print(found, args, graph)
    return 0


def _graph(args: argparse.Namespace) -> Graph:
    """NET, in the size in which the benchmark times it unless another is asked for."""
    from nnvis.bench.net_cases import TRAINING

    shape: dict[str, Any] = shape_options(args)
    target = next((t for t in TRAINING if t.net == args.net), None)
    if not shape and target and not is_graph_file(args.net):
        shape = {"input_shape": target.shape, "num_classes": target.classes}
    return load_graph(args.net, args.net_option, **shape)


def _print(found: Profile, args: argparse.Namespace, graph: Graph) -> None:
    shape = console.shape_text(graph.input_shape)
    print(f"{graph.name} {shape}, batch {args.batch}: a step takes {time_text(found.step)}\n")
    forward, backward = (sum(getattr(node, way) for node in found.nodes) for way in ("forward", "backward"))
    total = ["in all", "", *_times(forward, backward), *[""] * 4]
    console.print_table(_COLUMNS, [_row(node, found) for node in found.by_kind()], total)
    print()
    console.print_table(_COLUMNS, [_row(node, found) for node in found.longest(args.top)])
    print(_LEGEND.format(peak=found.peak))


def _times(forward: float, backward: float) -> list[str]:
    return [time_text(each) if each else "" for each in (forward, backward, forward + backward)]


def _row(node: NodeTime, found: Profile) -> list[str]:
    share = f"{100 * node.seconds / found.total:.1f} %"
    rates = [_rate(node.flops, node.forward), _rate(node.backward_flops, node.backward)]
    roof = f"{100 * node.roof / node.seconds:.0f} %" if node.roof and node.seconds else ""
    return [node.name, node.kind, *_times(node.forward, node.backward), share, *rates, roof]


def _rate(flops: float, seconds: float) -> str:
    return f"{flops / seconds / 1e9:.0f}" if flops and seconds else ""
