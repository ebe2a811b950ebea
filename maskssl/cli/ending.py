"""How a command ends: as one sentence for what its user can mend, as it is for the rest."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable

from ..errors import MaskSSLError
from ..private_names import run_exit_functions


def run_to_end(run: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> None:
    """Run a command; a MaskSSLError ends it as one sentence, with --debug in full.

    Args:
        run: returns the exit status; None is 0.
        args: of the command line; ``debug`` is among them.
    """
    try:
        code = run(args) or 0
    except MaskSSLError as error:
        if args.debug:
            traceback.print_exc()
        sys.exit(f"{type(error).__name__}: {_sentence(error)}")
    except SystemExit as end:
        if isinstance(end.code, int):  # on a signal, by agreement of all ranks
            leave_processes(end.code)
        raise
    leave_processes(code)
    if code:
        sys.exit(code)


def leave_processes(code: int = 0) -> None:
    """End one of several processes whose run is over; alone it does nothing.

    Threads of the process group may still hold Python objects, and one that asks for the
    interpreter while that shuts down takes the process with it (SIGABRT): a launcher then
    reports a finished run as failed, or starts it again. So the group is ended, what was
    registered for the exit is done, and the interpreter is not taken down.

    After an error it is not called, as ending a group may wait for ranks that will not come.

    Args:
        code: of the exit.
    """
    distributed = sys.modules.get("torch.distributed")  # a light command never imported it
    if distributed is None or not distributed.is_initialized():
        return
    distributed.destroy_process_group()
    run_exit_functions()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _sentence(error: MaskSSLError) -> str:
    """The message; of an error in a loader process, only what follows its traceback."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return text.strip().splitlines()[-1].split(": ", 1)[-1]  # behind module.ErrorName
