"""Render a pair set on many machines with Ray Data; one function, called elsewhere."""

from pathlib import Path
from typing import Any

from snowai.pairs.manifest import PairRecord
from snowai.pairs.render import PairRenderer, RenderPlan, keep_plan, render_pairs, write_pair

__all__ = ["render_with_ray"]


class _Worker:
    """Loads the generators once and renders the indices that it is handed."""

    def __init__(self, plan: dict[str, Any], root: str, device: str) -> None:
        self.renderer = PairRenderer(RenderPlan.from_dict(plan), device=device)
        self.root = Path(root)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for index in batch["id"]:
            write_pair(self.renderer, self.root, int(index))
        return batch


def render_with_ray(
    plan: RenderPlan, root: str | Path, *, workers: int = 2, device: str = "cpu", gpus: float = 0.0
) -> list[PairRecord]:
    """Render a plan with Ray workers; the files are those that the serial command writes.

    Args:
        plan: What to render; its checkpoints must be readable by every worker.
        root: Folder of the pair set, on storage that all workers share.
        workers: Processes, each with its own generators.
        device: Where each worker's generators run.
        gpus: GPUs for each worker.

    Returns:
        The records of the whole set.

    Raises:
        ImportError: Ray is missing.
    """
    try:
        import ray.data
    except ImportError as error:
        raise ImportError("Rendering with Ray needs: pip install 'snowai[ray]'.") from error
    root = Path(root).resolve()
    PairRenderer(plan, device="cpu")  # Refuse a wrong plan here, not in ten workers.
    keep_plan(plan, root)  # Before they write among another plan's pairs.
    # Items in memory need no reading task, which would wait for a processor that workers hold.
    items = [{"id": index} for index in range(plan.count)]
    rows = ray.data.from_items(items, override_num_blocks=min(4 * workers, plan.count))
    done = rows.map_batches(
        _Worker,
        fn_constructor_args=(plan.to_dict(), str(root), device),
        compute=ray.data.ActorPoolStrategy(size=workers),
        batch_size=8,
        num_gpus=gpus or None,
    )
    done.materialize()
    return render_pairs(plan, root, device="cpu")  # All files are there: this writes the manifest.
