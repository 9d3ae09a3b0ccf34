"""The command line: each command parses, calls and prints; only here do click and tqdm live.

Heavy libraries are imported inside the bodies of commands, so that --help and shell completion stay quick.
"""

from nnctl.cli.main import main, nnctl

__all__ = ["main", "nnctl"]
