"""The network being edited, free of Qt: states, edits, analysis, files."""
