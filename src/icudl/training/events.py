"""TensorBoard event files of a training run; never part of an artifact, since they hold the time of day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icudl.training.loop import OnEpoch
from icudl.training.snapshot import Epoch


@contextmanager
def event_log(folder: Path | None) -> Iterator[OnEpoch]:
    """Give a function that logs the scores of an epoch into ``folder``; one that does nothing where that is None."""
    if folder is None:
        yield lambda _epoch: None
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    writer = SummaryWriter(str(folder))

    def log(epoch: Epoch) -> None:
        scalars = {
            "loss/train": epoch.train_loss,
            "loss/validation": epoch.valid_loss,
            "validation/auroc": epoch.valid_auroc,
            "validation/auprc": epoch.valid_auprc,
            "learning_rate": epoch.learning_rate,
        }
        for name, value in scalars.items():
            writer.add_scalar(name, value, epoch.epoch)

    try:
        yield log
    finally:
        writer.close()
