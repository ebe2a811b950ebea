"""A checkpoint on its way to the disk, and what the message hub says of it meanwhile."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce, broadcast_object_list, is_main_process
from mmengine.runner import Runner

from ...checkpoints.errors import DiskFullError
from ...checkpoints.writing import remove_checkpoint, sidecar_of, write_text


class Outcome(NamedTuple):
    """What became of a save: whether the file is whole, and named as the newest.

    Not ``wanted`` is the newest behind a best one that was not saved, of which it speaks.
    """

    saved: bool
    pointed: bool = False
    wanted: bool = True


_UNWANTED = Outcome(saved=False, wanted=False)


class Save(NamedTuple):
    """A file to be saved.

    Attributes:
        path: of the file.
        facts: what the message hub says with it.
        newest: it is what training goes on from; a best one is not.
        replaced: files that go when it is there and named as the newest.
        former: the one that a run killed meanwhile resumes from.
    """

    path: str
    facts: dict[str, Any]
    newest: bool
    replaced: list[str]
    former: str | None


class _Begun(NamedTuple):
    save: Save
    before: dict[str, Any]  # what the hub said of the same, to go back to
    written: Future[Any]  # the outcome, or nothing where there is something to
    finish: Callable[[bool], None] | None  # of all processes together


class Saver:
    """Saves one file at a time, while the run waits or in a thread beside it.

    All processes call it alike.

    Attributes:
        begun: the saves that are not settled yet, in order.
    """

    def __init__(self) -> None:
        self.begun: list[_Begun] = []
        self._writer = ThreadPoolExecutor(1, "checkpoint")  # Python's exit waits for it too

    def begin(self, runner: Runner, save: Save, background: bool, **options: Any) -> None:
        """Begin to save one file; the message hub takes up its facts with it.

        ``settle`` tells whether it was saved. The newest, begun before that, speaks of this file,
        and is not saved unless this one is.

        Args:
            runner: training.
            save: what, and what it replaces.
            background: copy it now and write it in the thread.
            **options: of the runner's ``save_checkpoint``.
        """
        hub = runner.message_hub
        before = {key: hub.get_info(key) for key in save.facts if key in hub.runtime_info}
        hub.update_info_dict(save.facts)  # the file holds them
        where = str(Path(save.path).parent), Path(save.path).name
        written: Future[Any] = Future()
        finish = None
        if not background:
            write = partial(runner.save_checkpoint, *where, **options)
            written.set_result(_store(runner, save, write))
        else:
            write, finish = runner.copied_checkpoint(*where, **options)
            if finish is None:
                earlier = [begun.written for begun in self.begun if save.newest]
                written = self._writer.submit(_store_behind, earlier, runner, save, write)
            else:
                written = self._writer.submit(write)
        self.begun.append(_Begun(save, before, written, finish))

    def raise_errors(self) -> None:
        """Raise what has broken the writer, if it is known by now."""
        for begun in self.begun:
            if begun.written.done():
                begun.written.result()

    def waits_for_all(self) -> bool:
        """Whether every process has written what they have to finish together."""
        if not any(begun.finish for begun in self.begun):
            return False
        done = torch.tensor(int(all(begun.written.done() for begun in self.begun)))
        all_reduce(done, "min")
        return bool(done)

    def settle(self, runner: Runner) -> list[tuple[Save, Outcome]]:
        """Wait for the saves that were begun, if any; all processes learn what became of them.

        Where one was not saved, the message hub says again what it said before.
        """
        settled: list[tuple[Save, Outcome]] = []
        begun, self.begun = self.begun, []
        for save, before, written, finish in begun:
            outcome = written.result()
            if finish is not None:
                if save.newest and not all(found.saved for _, found in settled):
                    finish(False)
                    outcome = _UNWANTED
                else:
                    outcome = _store(runner, save, partial(finish, True))
            shared = [outcome]
            broadcast_object_list(shared)
            if not shared[0].saved:
                for key in save.facts.keys() - before.keys():
                    runner.message_hub.pop_info(key)
                runner.message_hub.update_info_dict(before)
            settled.append((save, shared[0]))
        return settled


def _store_behind(earlier: list[Future[Outcome]], *args: Any) -> Outcome:
    """``_store``, if those that the only thread has written before were saved."""
    if all(outcome.result().saved for outcome in earlier):
        return _store(*args)
    return _UNWANTED


def _store(runner: Runner, save: Save, write: Callable[[], None]) -> Outcome:
    """Write a file, name it in ``last_checkpoint``, and remove what it replaces."""
    if not had_space(runner, write, save.former):
        return Outcome(saved=False)
    if not is_main_process():
        return Outcome(saved=True)
    if not Path(save.path).is_file():  # older ones would be removed for it
        raise RuntimeError(f"{type(runner).__name__}.save_checkpoint did not write {save.path}")
    if not sidecar_of(save.path).is_file():
        runner.logger.warning(
            f"{save.path} was written by {type(runner).__name__} in its own way, without checksum; "
            "if the run is killed while it saves, the file may be incomplete"
        )
    if not save.newest:
        return Outcome(saved=True)
    pointer = Path(runner.work_dir, "last_checkpoint")
    # the file exists whenever it is named
    if not had_space(runner, lambda: write_text(save.path, pointer), save.former):
        return Outcome(saved=True)
    for path in save.replaced:
        remove(runner, path, unless=save.path)
    return Outcome(saved=True, pointed=True)


def had_space(runner: Runner, write: Callable[[], None], former: str | None) -> bool:
    """Write, and warn if the disk is full.

    Args:
        runner: training.
        write: what may raise a DiskFullError.
        former: the checkpoint to resume from until then; None for the one it started from.
    """
    try:
        write()
    except DiskFullError as error:
        runner.logger.warning(
            f"{error}. Training goes on; if it is killed before the next save, it resumes from "
            f"{former or 'the checkpoint it started from'}"
        )
        return False
    return True


def remove(runner: Runner, path: str | None, unless: str | None = None) -> None:
    """Remove a checkpoint that newer ones replace, on the first process; None is none."""
    if path and path != unless and is_main_process() and Path(path).exists():
        remove_checkpoint(path)
        runner.logger.info(f"removed {path}, which newer checkpoints replace")
