"""TensorBoard event files of a training run; never part of an artifact, since they hold the time of day."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from icudl.training.snapshot import Epoch


def can_be_written() -> bool:
    """Tell whether TensorBoard is installed."""
    return find_spec("tensorboard") is not None


class Log(Protocol):
    """Logs an epoch of one of several networks."""

    def __call__(self, network: int, epoch: Epoch, *, pretraining: bool = False) -> None:
        """Log an epoch of the fit, or of the pretraining before it, of which loss and learning rate are known."""


@contextmanager
def event_logs(folder: Path | None, networks: int) -> Iterator[Log]:
    """Give a function that logs an epoch of one of several networks.

    The function does nothing where ``folder`` is None, or TensorBoard (the extra ``tensorboard``) is not installed.

    A single network logs into ``folder`` itself, those of an ensemble into ``network-0``, ``network-1``, ...
    """
    if folder is None or not can_be_written():
        yield _nothing
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    folders = [folder] if networks == 1 else [folder / f"network-{number}" for number in range(networks)]
    with _errors_told_once(), ExitStack() as stack:
        writers = [stack.enter_context(SummaryWriter(str(path))) for path in folders]

        def log(network: int, epoch: Epoch, *, pretraining: bool = False) -> None:
            scalars = {
                "loss/train": epoch.train_loss,
                "loss/validation": epoch.valid_loss,
                "validation/auroc": epoch.valid_auroc,
                "validation/auprc": epoch.valid_auprc,
                "learning_rate": epoch.learning_rate,
            }
            if pretraining:
                scalars = {"pretraining/loss": epoch.train_loss, "pretraining/learning_rate": epoch.learning_rate}
            for name, value in scalars.items():
                writers[network].add_scalar(name, value, epoch.epoch)

        yield log


def _nothing(network: int, epoch: Epoch, *, pretraining: bool = False) -> None:
    """Log nothing."""


@contextmanager
def _errors_told_once() -> Iterator[None]:
    """Keep TensorBoard's thread from printing a disk error that its writer raises again in the thread that uses it."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        is_writer = type(args.thread).__module__.partition(".")[0] == "tensorboard"
        if not (is_writer and issubclass(args.exc_type, OSError)):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
