from __future__ import annotations

import json

import pytest

import nnvis as nv
from nnvis.errors import ConfigError, GraphError, ShapeError, UnknownNameError


def residual() -> nv.Graph:
    g = nv.Graph((8, 8, 3), init="xavier", name="small")
    c = g.add(nv.Conv2d(4, 3, padding=1, weight_init="normal:0.1"), g.input, name="conv")
    g.output = g.add(nv.Linear(2), g.add(nv.GlobalAvgPool2d(), g.add(nv.Add(), [g.add(nv.ReLU(), c), c])), name="fc")
    return g


def damaged(change) -> str:
    data = json.loads(residual().to_json())
    change(data)
    return json.dumps(data)


def test_json_round_trip_loses_nothing():
    g = residual()
    again = nv.Graph.from_json(g.to_json())
    assert again.to_json() == g.to_json()
    assert again.fingerprint() == g.fingerprint()
    assert again["conv"].layer == g["conv"].layer


def test_order_puts_each_node_after_its_inputs():
    names = [node.name for node in residual().order()]
    assert names == ["conv", "relu", "add", "globalavgpool2d", "fc"]


def test_nodes_that_do_not_lead_to_the_output_are_left_out():
    g = residual()
    g.add(nv.Tanh(), "conv", name="unused")
    assert "unused" not in [node.name for node in g.order()]


def test_add_refuses_a_shape_that_does_not_fit_and_names_the_node():
    g = nv.Graph((8, 8, 3))
    with pytest.raises(ShapeError, match="Node 'fc': Linear needs a vector") as error:
        g.add(nv.Linear(3), g.input, name="fc")
    assert error.value.node == "fc"
    assert len(g) == 0


def test_add_refuses_a_name_that_is_taken_and_an_input_that_is_missing():
    g = residual()
    with pytest.raises(GraphError, match="Two nodes are called 'conv'"):
        g.add(nv.ReLU(), g.input, name="conv")
    with pytest.raises(GraphError, match="'cnv', which does not exist .did you mean 'conv'"):
        g.add(nv.ReLU(), "cnv")
    with pytest.raises(GraphError, match="joins two or more"):
        g.add(nv.Add(), "conv")
    with pytest.raises(ConfigError, match="takes a layer"):
        g.add(nv.ReLU, "conv")


def test_a_node_that_is_looked_up_by_a_wrong_name_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'conv'"):
        residual()["convv"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["nodes"][0].update(inputs=["add"]), "cycle"),
        (lambda d: d["nodes"][0].update(inputs=["nowhere"]), "'nowhere', which does not exist"),
        (lambda d: d["nodes"][1].update(name="conv"), "Two nodes are called 'conv'"),
        (lambda d: d["nodes"][0].update(kind="Conv9d"), "Node 'conv': There is no layer kind 'Conv9d'"),
        (lambda d: d["nodes"][0]["config"].update(colour=1), "no option 'colour'"),
        (lambda d: d["nodes"][0].pop("kind"), "damaged"),
        (lambda d: d.update(version=99), "version 99"),
        (lambda d: d.update(format="other"), "not an nnvis graph"),
        (lambda d: d.update(output="gone"), "output 'gone'"),
        (lambda d: d.update(input_shape=[0, 3]), "input_shape"),
        (lambda d: d.update(nodes=5), "damaged"),
    ],
)
def test_a_damaged_graph_file_gets_one_sentence(change, words):
    with pytest.raises(GraphError, match=words) as error:
        nv.Graph.from_json(damaged(change))
    assert "\n" not in str(error.value)


def test_text_that_is_not_json_gets_one_sentence():
    with pytest.raises(GraphError, match="not JSON"):
        nv.Graph.from_json("{nodes")


def test_an_editor_can_load_a_faulty_graph_and_list_its_faults():
    text = damaged(lambda d: d["nodes"][0]["config"].update(kernel_size=[50, 50]))
    faults = nv.Graph.from_json(text, check=False).faults()
    assert [fault.node for fault in faults] == ["conv"]
    assert "larger than its input" in faults[0].message


def test_a_sound_graph_has_no_faults():
    assert residual().faults() == []


def test_counts_of_a_convolution_follow_the_formula():
    g = residual()
    assert g.num_parameters() == 3 * 3 * 3 * 4 + 4 + 4 * 2 + 2
    assert g.multiply_adds() == 8 * 8 * 4 * 27 + 8


def test_sequential_names_its_layers_as_pytorch_does():
    g = nv.Sequential([nv.Flatten(), nv.Linear(3)], input_shape=(4, 4, 1))
    assert [node.name for node in g] == ["0", "1"]


def test_a_copy_is_independent():
    g = residual()
    g.copy().add(nv.ReLU(), "fc", name="more")
    assert "more" not in g.nodes


def _with_blocks() -> nv.Graph:
    g = nv.Graph((6, 6, 3))
    y = g.add(nv.ReLU(), g.input, name="first")
    with g.block("outer", kind="basic_residual"):
        y = g.add(nv.Conv2d(3, 3, padding=1), y, name="outer.conv")
        with g.block("outer.gate"):
            y = g.add(nv.Sigmoid(), y, name="outer.gate.sigmoid")
    g.add(nv.Flatten(), y)
    return g


def test_blocks_hold_what_is_added_within_and_come_back_from_json_and_copies():
    g = _with_blocks()
    assert {name: block.nodes for name, block in g.blocks.items()} == {
        "outer": ("outer.conv", "outer.gate.sigmoid"), "outer.gate": ("outer.gate.sigmoid",),
    }  # fmt: skip
    assert g.blocks["outer"].kind == "basic_residual"
    found = nv.Graph.from_json(g.to_json())
    assert found.blocks == g.blocks == g.copy().blocks and found.to_json() == g.to_json()


def test_blocks_change_nothing_for_checkpoints_and_files_without_them_are_read():
    g = _with_blocks()
    data = g.to_dict()
    del data["blocks"]
    loose = nv.Graph.from_json(json.dumps(data))
    assert not loose.blocks and loose.fingerprint() == g.fingerprint()
    loose.group("outer", ["outer.conv", "outer.gate.sigmoid"], "basic_residual")
    loose.group("outer.gate", ["outer.gate.sigmoid"])
    assert loose.to_json() == g.to_json()


def test_a_node_that_is_taken_out_is_no_longer_written_with_its_block():
    g = _with_blocks()
    for name in ("flatten", "outer.gate.sigmoid"):
        del g.nodes[name]
    assert g.to_dict()["blocks"] == [{"name": "outer", "kind": "basic_residual", "nodes": ["outer.conv"]}]


def test_a_block_that_fails_is_taken_back_as_a_whole():
    g = _with_blocks()
    before = g.to_json()
    with pytest.raises(ShapeError), g.block("broken"):
        g.add_aux_output(g.add(nv.ReLU(), "flatten", name="fine"), 0.5)
        g.add(nv.Conv2d(3), "fine")
    assert g.to_json() == before and "fine" not in g.shapes()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda g: g.group("first", ["flatten"]), "Two nodes"),
        (lambda g: g.add(nv.ReLU(), "first", name="outer"), "A block is called 'outer'"),
        (lambda g: g.group("new", ["outer.con"]), "did you mean 'outer.conv'"),
        (lambda g: g.group("new", ["first", "outer.conv"]), "neither holds the other"),
    ],
)
def test_a_block_that_cannot_be_is_refused(make, words):
    with pytest.raises(GraphError, match=words):
        make(_with_blocks())


def test_a_block_without_a_name_is_called_after_its_kind():
    g = _with_blocks()
    assert g.free_name("outer", prefix=True) == "outer_2"
    with g.block() as name:
        g.add(nv.ReLU(), "flatten")
    assert name == "block"
