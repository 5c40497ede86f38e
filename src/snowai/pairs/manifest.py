"""The pair set on disk: photo/, styled/ and metadata.jsonl, as Hugging Face's imagefolder."""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snowai._files import write_text
from snowai.image import IMAGE_SUFFIXES, image_size

__all__ = [
    "SPLITS",
    "PairRecord",
    "check_pairs",
    "manifest_lines",
    "manifest_row",
    "read_pairs",
    "read_source",
    "split_of",
    "write_pairs",
]

MANIFEST = "metadata.jsonl"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class PairRecord:
    """One line of the manifest.

    Args:
        photo: Path of the photo, relative to the root, e.g. "photo/00017.png".
        styled: Path of the styled image, alike.
        split: "train", "val" or "test".
        facts: Every other column: source, seed, recipe, edits, scores.
    """

    photo: str
    styled: str
    split: str = "train"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name that photo and styled image share."""
        return Path(self.photo).stem


def read_pairs(root: str | Path) -> list[PairRecord]:
    """Return the pairs of a folder, by its manifest or else by equal file names.

    Raises:
        FileNotFoundError: No such folder, or an image has no partner (named).
        ValueError: A manifest line is malformed (named), or fewer than two pairs.

    Example:
        >>> read_pairs("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: There is no pair set no/such/folder: ...
    """
    root = Path(root)
    if not (root / "photo").is_dir() or not (root / "styled").is_dir():
        raise FileNotFoundError(
            f"There is no pair set {root}: it needs the folders photo/ and styled/."
        )
    manifest = root / MANIFEST
    records = _parse(manifest) if manifest.is_file() else _match_names(root)
    for kind in ("photo", "styled"):
        absent = [r for r in records if not (root / getattr(r, kind)).is_file()]
        if absent:
            raise FileNotFoundError(
                f"{len(absent)} of {len(records)} pairs in {root} have no {kind} image, "
                f"e.g. {getattr(absent[0], kind)}."
            )
    if len(records) < 2:
        raise ValueError(f"{root} holds {len(records)} pair; training needs at least 2.")
    return records


def read_source(source: str | Path, root: str | Path) -> list[PairRecord]:
    """Return the pairs of a set that another one is made from, in ``root``.

    Raises:
        ValueError: Both are one folder, or as :func:`read_pairs` does.
        FileNotFoundError: As :func:`read_pairs` does.
    """
    if Path(root).resolve() == Path(source).resolve():
        raise ValueError(f"{root} is the set itself, which stays as it is; name another folder.")
    return read_pairs(source)


def write_pairs(root: str | Path, records: Sequence[PairRecord]) -> None:
    """Write the manifest, atomically."""
    write_text(Path(root) / MANIFEST, manifest_lines(records))


def manifest_lines(records: Iterable[PairRecord]) -> str:
    """Return records as the manifest's text, a line of JSON each."""
    return "".join(json.dumps(manifest_row(record)) + "\n" for record in records)


def manifest_row(record: PairRecord) -> dict[str, Any]:
    """Return a record as the manifest's columns."""
    names = {"photo_file_name": record.photo, "styled_file_name": record.styled}
    return {**names, "split": record.split, **record.facts}


def check_pairs(root: str | Path, records: Iterable[PairRecord]) -> None:
    """Raise unless every pair's images are squares of one size; reads only headers.

    Raises:
        BadImage: A file is no image (named).
        ValueError: Sizes differ within a pair, or an image is not square (named).
    """
    root = Path(root)
    for record in records:
        photo, styled = image_size(root / record.photo), image_size(root / record.styled)
        if photo != styled:
            raise ValueError(
                f"Pair {record.name} in {root} has different sizes: photo {photo[1]}x{photo[0]}, "
                f"styled {styled[1]}x{styled[0]}; both must show the same crop."
            )
        if photo[0] != photo[1]:
            raise ValueError(
                f"Pair {record.name} in {root} is {photo[1]}x{photo[0]}; pairs are square crops."
            )


def split_of(name: str, *, val: float = 0.05, test: float = 0.05) -> str:
    """Return a name's split, always the same one, whatever else is in the set.

    Example:
        >>> split_of("00017") == split_of("00017")
        True
    """
    place = zlib.crc32(name.encode()) / 2**32
    if place < test:
        return "test"
    return "val" if place < test + val else "train"


def _parse(manifest: Path) -> list[PairRecord]:
    records = []
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            photo, styled = row.pop("photo_file_name"), row.pop("styled_file_name")
            split = row.pop("split", "train")
        except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{manifest}, line {number}, must be JSON with photo_file_name and "
                f"styled_file_name ({type(error).__name__}: {error})."
            ) from None
        if split not in SPLITS:
            raise ValueError(
                f"{manifest}, line {number}: split must be one of {', '.join(SPLITS)}; "
                f"got {split!r}."
            )
        records.append(PairRecord(photo, styled, split, row))
    return records


def _match_names(root: Path) -> list[PairRecord]:
    """Match by name, never by order: one lost file would shift every pair after it."""
    found = {kind: _by_stem(root / kind) for kind in ("photo", "styled")}
    for kind, other in (("photo", "styled"), ("styled", "photo")):
        alone = sorted(found[kind].keys() - found[other].keys())
        if alone:
            raise FileNotFoundError(
                f"{len(alone)} of {len(found[kind])} images in {root / kind} have no {other} "
                f"partner, e.g. {found[kind][alone[0]]}."
            )
    return [
        PairRecord(
            f"photo/{found['photo'][stem]}", f"styled/{found['styled'][stem]}", split_of(stem)
        )
        for stem in sorted(found["photo"])
    ]


def _by_stem(folder: Path) -> dict[str, str]:
    return {p.stem: p.name for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES}
