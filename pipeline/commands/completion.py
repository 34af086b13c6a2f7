"""``ufvideo completion``: what a shell has to read so that TAB completes the command."""

from __future__ import annotations

import argparse
import sys

LOAD = {
    "bash": "source <(ufvideo completion bash)        # in ~/.bashrc",
    "zsh": "source <(ufvideo completion zsh)         # in ~/.zshrc, below compinit",
    "fish": "ufvideo completion fish | source        # in ~/.config/fish/config.fish",
}
"""How each shell reads it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["To load it:", "", *(f"  {line}" for line in LOAD.values())])
    parser.add_argument("shell", choices=LOAD, help="the shell that is to complete")


def act(options: argparse.Namespace) -> int:
    """Print the shell's functions; in a terminal also how to load them."""
    from argcomplete import shellcode

    print(shellcode(["ufvideo"], shell=options.shell))
    if sys.stdout.isatty():
        print(f"Next: {LOAD[options.shell]}", file=sys.stderr)
    return 0
