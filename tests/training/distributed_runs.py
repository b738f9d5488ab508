"""Runs in several processes, as torchrun starts them, without the seconds that each would take to import torch."""

import multiprocessing
import os
import signal
import socket
import warnings
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from trimix.training.config import TrainingConfig


def run_on(
    count: int, config: TrainingConfig, folder: Path, signal_at: int | None = None, wild_at: Container[int] = ()
) -> list[int]:
    """Train on ``count`` processes and return their exit codes: 0, or 3 where the run was interrupted.

    Args:
        count: processes, each with one CPU thread.
        config: of the run.
        folder: of the run.
        signal_at: step in which the last process alone receives SIGTERM.
        wild_at: steps whose loss the last process alone reports as far too large, until the run goes back.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trimix.training.loop"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        context.Process(target=_one, args=(rank, count, port, config.model_dump_json(), folder, signal_at, wild_at))
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode is not None, "a process hangs"
    return [process.exitcode for process in processes]


def _one(
    rank: int, count: int, port: int, config: str, folder: Path, signal_at: int | None, wild_at: Container[int]
) -> None:
    import torch

    from trimix.training.loop import Trainer

    warnings.simplefilter("error")
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }
    trainer = Trainer(TrainingConfig.model_validate_json(config), folder, "cpu")
    if rank == count - 1:
        plain = trainer.step.backward

        def backward(*arguments):
            if trainer.progress.step == signal_at:
                signal.raise_signal(signal.SIGTERM)
            report = plain(*arguments)
            wild = trainer.progress.step in wild_at and not trainer.progress.explosions
            return replace(report, loss=report.loss * 1e6) if wild else report

        trainer.step.backward = backward
    try:
        trainer.run()
    except KeyboardInterrupt:
        os._exit(3)
    torch.distributed.destroy_process_group()
