"""The canvas: nodes, wires, and the gestures that edit them."""
