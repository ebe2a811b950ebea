"""``maskssl COMMAND …``, the same as ``python -m maskssl COMMAND …``."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from . import __version__
from .cli.ending import run_to_end
from .cli.waiting import wait_passively
from .commands import COMMANDS

HELP = """usage: maskssl COMMAND [options]

Masked self-supervised vision models on OpenMMLab, from images to transfer results.

commands:
{commands}

maskssl COMMAND --help says more; maskssl --version.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process as it ended.

    Args:
        arguments: the command's name and its options; default those of the process.
    """
    wait_passively()  # no command has imported torch yet
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name, *options = arguments or ["--help"]
    if name in ("-h", "--help"):
        lines = (f"  {name:{max(map(len, COMMANDS))}}  {what}" for name, what in COMMANDS.items())
        sys.stdout.write(HELP.format(commands="\n".join(lines)))
        return
    if name == "--version":
        sys.stdout.write(f"maskssl {__version__}\n")
        return
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"they are {', '.join(COMMANDS)}"
        sys.exit(f"maskssl: there is no command {name!r}; {meant}")
    command = import_module(f"{__package__}.commands.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(
        prog=f"maskssl {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(arguments=tuple(options))
    run_to_end(command.run, parser.parse_args(options))


if __name__ == "__main__":
    main()
