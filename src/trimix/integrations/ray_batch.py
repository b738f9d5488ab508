"""Collections on Ray: many pictures on the cores of many machines, one codec a worker.

::

    named jobs       actors: a job -> a worker -> what became of it; the worker reads and writes, names alone travel
    data sets        compress_column: any Ray Data set with a column of picture files -> the same with .tmix files

Named jobs are done by plain actors, not by Ray Data: a picture that ends its worker, for want of memory say, must be
told by its name and not take others along; Ray Data tries whole blocks of rows again, and ends with the last try. When
to take which, `docs/collections.md` says.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from socket import create_connection
from typing import TYPE_CHECKING, Any, TypeVar

from trimix.api import compress
from trimix.errors import UsageError, WorkerDiedError, needing
from trimix.frozen.catalogue import MODELS_VARIABLE
from trimix.integrations import OWN_CLUSTER
from trimix.integrations.tables import compressed_table
from trimix.threads import usable_cores

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_TRIES = 3
"""Of a job whose worker ends."""
_ANSWER_SECONDS = 10.0
_OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster of our own: names and reports need little."""


def _ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # heeded only before the import: nothing is sent to anybody
    # Workers without a GPU of their own see the devices as this process does; Ray warns where that is not chosen.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Of a cluster of our own; Ray's 15 lets workers starve beside anything else on the machine.
    os.environ.setdefault("RAY_worker_niceness", "0")
    with needing("ray", "working on a cluster", "ray"):
        import ray
    return ray


class _Worker:
    """A process with what it works with, loaded at its first job, and again where it was started anew."""

    def __init__(self, start: Callable[[], Callable[[Any], Any]]) -> None:
        self._start = start
        self._work: Callable[[Any], Any] | None = None

    def do(self, item: Any) -> Any:
        """The result for an item."""
        self._work = self._work or self._start()
        return self._work(item)


def _environment(threads: int) -> dict[str, Any]:
    """What workers find in their environment: their threads, and folders of models as here."""
    variables = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    if MODELS_VARIABLE in os.environ:
        variables[MODELS_VARIABLE] = os.environ[MODELS_VARIABLE]
    return {"env_vars": variables}


@contextmanager
def actors(
    start: Callable[[], Callable[[_Item], _Result]],
    address: str = OWN_CLUSTER,
    workers: int | None = None,
    threads: int = 1,
    *,
    on_cuda: bool = False,
) -> Iterator[tuple[Callable[[_Item], _Result], int]]:
    """Workers of a cluster, for the time of the block.

    Yields a function that does one item in a worker that is free, and how many workers there are: so many threads may
    call it at a time. An item whose worker ends is given to a new one, at most twice; after that a WorkerDiedError
    tells of it, and the others go on.

    Args:
        start: is called once in every worker; what it returns does an item there. Items and results are sent.
        address: of a running cluster, ``auto`` for one on this machine, or `OWN_CLUSTER`.
        workers: how many; None takes as many as there are cores for.
        threads: cores of each.
        on_cuda: whether each needs a GPU of its own.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: no cluster answers, or it has no room for a worker.

    >>> with actors(lambda: len, workers=1) as (length, count):
    ...     length("four"), count
    (4, 1)
    """
    ray = _ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, address, None if workers is None else workers * threads)
    try:
        resources = ray.cluster_resources()
        most = int(resources.get("CPU", 0)) // threads
        if on_cuda:
            most = min(most, int(resources.get("GPU", 0)))
        count = most if workers is None else min(workers, most)
        if count < 1:
            raise UsageError(
                f"the cluster must have {threads} cores{' and a GPU' if on_cuda else ''} for a worker, found "
                f"{resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}; ask for fewer threads"
            )
        remote = ray.remote(
            num_cpus=threads,
            num_gpus=int(on_cuda),
            max_restarts=-1,
            max_task_retries=_TRIES - 1,
            runtime_env=_environment(threads),
        )(_Worker)
        kept = [remote.remote(start) for _ in range(count)]
        free: SimpleQueue[Any] = SimpleQueue()
        for one in kept:
            free.put(one)

        def do(item: _Item) -> _Result:
            worker = free.get()
            try:
                return ray.get(worker.do.remote(item))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                raise WorkerDiedError(
                    f"a worker must live as long as its job, found {_TRIES} that ended, of memory perhaps; give this "
                    "one more room, or leave it out"
                ) from error
            finally:
                free.put(worker)

        yield do, count
    finally:
        if is_ours:
            ray.shutdown()


def _connect(ray: Any, address: str, cores: int | None) -> None:
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == OWN_CLUSTER:
        options |= {
            "num_cpus": cores or usable_cores(),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdigit():  # Ray itself asks for minutes
            create_connection((host, int(port)), _ANSWER_SECONDS).close()
        # Ray tells of workers that end on standard output, where records go, and has no public switch for that.
        ray._private.worker._worker_logs_enabled = False
        ray.init(**options)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"a Ray cluster must answer at {address}, found none ({str(error).splitlines()[0]}); start one, or leave "
            "the address out for one on this machine"
        ) from error


def compress_column(
    dataset: "Dataset",
    column: str = "bytes",
    *,
    workers: int | tuple[int, int] | None = None,
    threads: int = 1,
    batch_rows: int = 16,
    **settings: Any,
) -> "Dataset":
    """A data set of Ray with compressed files in place of pictures; nothing runs before it is read or written.

    Whatever Ray Data reads is taken: folders and object stores by ``read_binary_files``, ``read_parquet``,
    ``from_arrow``, tars by ``read_webdataset``. A picture that cannot be compressed leaves an empty cell, and why
    stands in the column `ERROR_COLUMN`: filter by that for a table of failures.

    Args:
        dataset: with the column.
        column: of bytes, or of structures with a field ``bytes``.
        workers: processes, each with a codec of its own; two numbers let Ray choose between them.
        threads: cores of each.
        batch_rows: pictures that a worker holds at a time.
        settings: of `trimix.compress`: quality, model, tune, effort and so on.

    Raises:
        MissingExtraError: Ray is not installed.

    ::

        pictures = ray.data.read_parquet("s3://bucket/pictures/")
        compress_column(pictures, "image", quality=50).write_parquet("s3://bucket/compressed/")
    """
    ray = _ray()
    least, most = (workers, workers) if isinstance(workers, int) else workers or (1, None)
    return dataset.map_batches(
        _ColumnCompressor,
        fn_constructor_args=(column, settings),
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        batch_size=batch_rows,
        batch_format="pyarrow",
        num_cpus=threads,
        max_restarts=-1,
        max_task_retries=_TRIES - 1,
        runtime_env=_environment(threads),
    )


class _ColumnCompressor:
    def __init__(self, column: str, settings: Mapping[str, Any]) -> None:
        self._column, self._settings = column, settings

    def __call__(self, table: "pyarrow.Table") -> "pyarrow.Table":
        return compressed_table(table, self._column, lambda _, data: compress(data, **self._settings))[0]
