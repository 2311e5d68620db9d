"""``python -m nnvis``: the command line without the console script."""

from nnvis.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
