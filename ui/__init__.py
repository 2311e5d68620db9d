"""The desktop app: build a network by dragging layers, and watch it learn."""
