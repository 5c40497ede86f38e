"""Do a long job on many machines with Ray Data: the same functions, shard by shard, elsewhere."""

from typing import Any, Protocol, TypeVar

__all__ = ["ShardedTask", "run_with_ray"]

_SHARDS = 8  # For each worker: small ones keep all busy to the end.

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class ShardedTask(Protocol[T_co]):
    """Anything that does its share of a job and can be sent to another process."""

    def __call__(self, *, shard: tuple[int, int]) -> T_co:
        """Do every N-th part from the i-th on; what is done already is left alone."""
        ...


def run_with_ray(task: ShardedTask[T], *, workers: int = 2, gpus: float = 0.0) -> T:
    """Run a sharded job on Ray workers; the files are those that one process writes.

    Args:
        task: :func:`render_pairs`, :func:`retouch_pairs` or :func:`select_pairs` with everything
            but ``shard`` given by :func:`functools.partial`; its folders must be ones that all
            workers share.
        workers: Shards at work at one time.
        gpus: GPUs for each.

    Returns:
        What the task returns when all is done.

    Raises:
        ImportError: Ray is missing.
        ValueError: Whatever the task refuses, before any worker starts.

    Example::

        run_with_ray(functools.partial(render_pairs, plan, "pairs"), workers=8)
    """
    try:
        import ray.data
    except ImportError as error:
        raise ImportError("Working with Ray needs: pip install 'snowai[ray]'.") from error
    count = _SHARDS * workers
    task(shard=(0, count))  # Here: wrong arguments end the run in one sentence.

    def run(row: dict[str, Any]) -> dict[str, Any]:
        task(shard=(int(row["shard"]), count))
        return row

    # Items in memory need no reading task, which would wait for a processor that workers hold.
    items = [{"shard": number} for number in range(1, count)]
    rows = ray.data.from_items(items, override_num_blocks=count - 1)
    rows.map(run, concurrency=workers, num_gpus=gpus or None).materialize()
    return task(shard=(0, 1))  # All is there: this writes the manifest.
