"""snowai pairs, what is done with whole sets: select, balance, export, import."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from snowai.cli.words import run_sharded, say

__all__ = ["balance", "export", "import_set", "select"]


def select(
    pairs: Positional[Path],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    rules: Path | None = None,
    reach: float = 2.5,
    distance: Literal["lite0", "none"] = "lite0",
    discriminator: Path | None = None,
    veto: Path | None = None,
    keep: Path | None = None,
    shard: str | None = None,
    ray_workers: int = 0,
) -> int:
    """Choose the good pairs of a set: they become a set of their own, with their scores.

    Look at OUT/sheet.png. To decide otherwise, move previews between OUT/review/kept and
    OUT/review/rejected, or list names in files, and run the command again.

    Args:
        pairs: Folder of the pair set; it stays as it is.
        out: Folder of the selection; a killed run goes on there.
        rules: JSON file like OUT/rules.json; default: learnt from the set's own scores.
        reach: Of learnt rules; larger ones reject less.
        distance: Features that compare photo and styled picture.
        discriminator: The teacher's, to score artefacts: a .safetensors file.
        veto: Text file with names of pairs to reject, one a line.
        keep: Text file with names of pairs to keep.
        shard: i/N measures every N-th pair from the i-th on; default from RANK and WORLD_SIZE, or
            SLURM.
        ray_workers: Measure with this many Ray workers instead.
    """
    from snowai.analysis import selection_sheet
    from snowai.faces import MediaPipeLandmarker
    from snowai.image import write_image
    from snowai.pairs import PairScorer, SelectRules, select_pairs
    from snowai.styles import load_discriminator

    judge = discriminator and load_discriminator(discriminator, discriminator)
    make = PairScorer.with_lite0 if distance == "lite0" else PairScorer
    scorer = make(MediaPipeLandmarker(max_faces=1), discriminator=judge)
    task = partial(
        select_pairs,
        pairs,
        out,
        scorer,
        rules=None if rules is None else SelectRules.from_json(rules.read_text()),
        reach=reach,
        hand=dict.fromkeys(_names(veto), "rejected") | dict.fromkeys(_names(keep), "kept"),
    )
    selection = run_sharded(task, shard, ray_workers)
    if selection is None:
        say(f"This shard of {pairs} is measured; the last one to end chooses.")
        return 0
    write_image(out / "sheet.png", selection_sheet(out))
    say(f"{len(selection.kept)} pairs kept in {out}, {len(selection.rejected)} rejected.")
    reasons = (reason for record in selection.rejected for reason in record.facts["reasons"])
    for reason, count in Counter(r.split(":")[0] for r in reasons).most_common():
        say(f"{count:>6}  {reason}")
    return 0


def balance(
    pairs: Positional[Path],
    /,
    out: Annotated[Path | None, arg(aliases=["-o"])] = None,
    weights: bool = False,
    limit: float = 5.0,
) -> int:
    """Say what a pair set shows how often, and what it lacks.

    Args:
        pairs: Folder of the pair set.
        out: Folder for balance.json and balance.png; default PAIRS.
        weights: Write weights into the set's manifest: training then sees rare pairs more often.
        limit: Largest weight, and one over the least.
    """
    from snowai._files import write_text
    from snowai.analysis import histograms
    from snowai.faces import MediaPipeLandmarker
    from snowai.image import write_image
    from snowai.pairs import SKIN_CAVEAT, balance_pairs, write_weights

    report = balance_pairs(pairs, MediaPipeLandmarker(max_faces=1))
    folder = out or pairs
    write_text(folder / "balance.json", report.to_json() + "\n")
    write_image(folder / "balance.png", histograms(report.columns(), edges=report.edges()))
    for name in report.values:
        counts = ", ".join(f"{count} {group}" for group, count in report.groups(name).items())
        say(f"{name:<12}{counts}")
    say("\n".join(["", *(report.gaps() or ["Nothing is missing."]), "", SKIN_CAVEAT]))
    if weights:
        drawn = report.weights(limit=limit)
        write_weights(pairs, drawn)
        say(f"Weights from {drawn.min():.2f} to {drawn.max():.2f} are in the manifest.")
    return 0


def export(
    pairs: Positional[Path],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    per_shard: int = 1000,
) -> int:
    """Write a pair set as WebDataset shards, tar files that clusters read in one stream.

    Args:
        pairs: Folder of the pair set.
        out: Folder for the tar files.
        per_shard: Pairs in each.
    """
    from snowai.pairs import export_shards

    shards = export_shards(pairs, out, per_shard=per_shard)
    say(f"{len(shards)} shards in {out}.")
    return 0


def import_set(
    shards: Positional[tuple[Path, ...]], /, out: Annotated[Path, arg(aliases=["-o"])]
) -> int:
    """Write WebDataset shards to a folder, as a pair set.

    Args:
        shards: Tar files, or folders of them.
        out: Folder of the pair set.
    """
    from snowai.pairs import import_shards

    say(f"{len(import_shards(shards, out))} pairs in {out}.")
    return 0


def _names(path: Path | None) -> list[str]:
    """Return a text file's lines; names of pairs, with or without suffixes."""
    lines = [] if path is None else path.read_text().split("\n")
    return [Path(line.strip()).stem for line in lines if line.strip()]
