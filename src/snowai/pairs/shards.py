"""Exchange pair sets as WebDataset shards: tar files that clusters read in one stream."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm.auto import tqdm

from snowai._files import atomic_path, write_bytes
from snowai.image import IMAGE_SUFFIXES
from snowai.pairs.manifest import SPLITS, PairRecord, manifest_row, read_pairs, write_pairs

__all__ = ["export_shards", "import_shards"]


def export_shards(root: str | Path, out: str | Path, *, per_shard: int = 1000) -> list[Path]:
    """Write a pair set as tar files: photo, styled picture and manifest line of each pair.

    The images' bytes are those of the set, and the same set gives the same tar files. Shards that
    are there already are kept, so a killed export goes on.

    Args:
        root: Folder of the pair set.
        out: Folder for pairs-000000.tar and so on.
        per_shard: Pairs in each.

    Returns:
        The tar files. Each sample has the keys "photo.png", "styled.png" (or the images' other
        suffixes) and "json".

    Raises:
        ImportError: webdataset is missing.
        ValueError: per_shard is below 1.
    """
    webdataset = _import_webdataset()
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1; got {per_shard}.")
    root, out = Path(root), Path(out)
    records = read_pairs(root)
    shards = []
    for first in tqdm(range(0, len(records), per_shard), desc="exporting", unit="shard"):
        shards.append(out / f"pairs-{first // per_shard:06d}.tar")
        if shards[-1].is_file():
            continue
        with atomic_path(shards[-1]) as draft, draft.open("wb") as stream:
            writer = webdataset.TarWriter(stream, encoder=False, mtime=0.0)
            for index, record in enumerate(records[first : first + per_shard], start=first):
                # Numbers, because WebDataset cuts names at their first dot.
                writer.write({"__key__": f"{index:08d}", **_sample(root, record)})
            writer.close()
    return shards


def import_shards(shards: Sequence[str | Path], root: str | Path) -> list[PairRecord]:
    """Write the pairs of WebDataset shards to a folder, as a pair set.

    Args:
        shards: Tar files that :func:`export_shards` wrote, or folders of them. Nothing in them is
            run, and no file lands outside ``root``.
        root: Folder of the pair set; files that are there already are replaced.

    Returns:
        The set's records.

    Raises:
        ImportError: webdataset is missing.
        FileNotFoundError: There is no such shard.
        ValueError: A sample is no pair (named).
    """
    root, records = Path(root), list[PairRecord]()
    for path in tqdm(_tars(shards), desc="importing", unit="shard"):
        for sample in _samples(path):
            record, images = _parse(sample, path)
            records.append(record)
            for name, data in zip((record.photo, record.styled), images, strict=True):
                write_bytes(root / name, data)
    write_pairs(root, records)
    return records


def _sample(root: Path, record: PairRecord) -> dict[str, bytes]:
    images = {"photo": root / record.photo, "styled": root / record.styled}
    parts = {f"{kind}{path.suffix}": path.read_bytes() for kind, path in images.items()}
    return parts | {"json": json.dumps(manifest_row(record)).encode()}


def _tars(shards: Sequence[str | Path]) -> list[Path]:
    tars = [
        tar
        for path in map(Path, shards)
        for tar in (sorted(path.glob("*.tar")) if path.is_dir() else [path])
    ]
    absent = [path for path in tars if not path.is_file()]
    if absent or not tars:
        raise FileNotFoundError(f"There is no shard {absent[0] if absent else shards}.")
    return tars


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    webdataset = _import_webdataset()
    # The stream of a file that is there: given a name, webdataset would also run "pipe:" commands.
    with path.open("rb") as stream:
        try:
            files = webdataset.tariterators.tar_file_iterator(stream)
            parts = ({**part, "__url__": str(path)} for part in files)
            yield from webdataset.tariterators.group_by_keys(parts)
        except (OSError, EOFError, tarfile.TarError) as error:
            raise ValueError(f"{path} is no tar file of pairs ({error}).") from error


def _parse(sample: dict[str, Any], path: Path) -> tuple[PairRecord, list[bytes]]:
    place = f"{path}, sample {sample['__key__']},"
    try:
        row = json.loads(sample["json"])
        names = [_safe(row.pop(f"{kind}_file_name"), kind) for kind in ("photo", "styled")]
        images = [
            sample[f"{kind}{PurePosixPath(name).suffix.lower()}"]
            for kind, name in zip(("photo", "styled"), names, strict=True)
        ]
        split = row.pop("split", "train")
        if split not in SPLITS:
            raise ValueError(f"split {split!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{place} is no pair ({type(error).__name__}: {error}).") from error
    return PairRecord(names[0], names[1], split, row), images


def _safe(name: str, kind: str) -> str:
    path = PurePosixPath(name)
    if path.parts[:-1] != (kind,) or path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{name!r} is no image in {kind}/")
    return name


def _import_webdataset() -> Any:
    try:
        import webdataset
    except ImportError as error:
        raise ImportError("Shards need: pip install 'snowai[data]'.") from error
    return webdataset
