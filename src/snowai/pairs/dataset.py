"""Pairs for training: photo, styled image, eye mask and landmarks of one face in one place."""

import hashlib
import io
from collections.abc import Sized
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import ConcatDataset, Dataset
from tqdm.auto import tqdm

from snowai._checks import check_choice
from snowai._files import write_bytes
from snowai.faces import Landmarker, eye_mask
from snowai.faces.schemes import scheme_named
from snowai.image import read_image
from snowai.pairs.manifest import SPLITS, PairRecord, check_pairs, read_pairs

__all__ = ["MixedPairs", "Pair", "PairDataset"]

_SAVE_EVERY = 500  # Photos between two writes of the landmark cache.


class Pair(NamedTuple):
    """One training example, or a batch of them; all parts show the same face in the same place."""

    photo: Tensor  # (3, H, W) in [0, 1]
    styled: Tensor  # (3, H, W) in [0, 1]
    eye_mask: Tensor  # (1, H, W) in [0, 1]; empty when the face was not found
    points: Tensor  # (N, 2) in pixels; NaN when the face was not found


class PairDataset(Dataset[Pair]):
    """Pairs stored as ``root/photo/NAME.png`` and ``root/styled/NAME.png``.

    Partners are matched by the manifest ``root/metadata.jsonl`` or by name, and checked here and
    now: missing partners, different sizes and malformed lines are errors that name the culprit.

    Args:
        root: Folder of the pair set.
        split: "train", "val", "test", or None for all.
        size: Side that images are resized to, in pixels.
        scheme: Of the landmarks.
        landmarks: The landmarks' cache; default ``root/landmarks.npz``. Without it masks are empty
            until :meth:`find_landmarks` has run.

    Raises:
        FileNotFoundError: No pair set there, or a partner is missing.
        ValueError: A malformed manifest, different sizes, or no pair in the split.

    Example:
        >>> pairs = PairDataset(tiny_pairs, size=64)
        >>> pairs[0].photo.shape, pairs[0].eye_mask.shape
        (torch.Size([3, 64, 64]), torch.Size([1, 64, 64]))
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str | None = None,
        size: int = 256,
        scheme: str = "mediapipe478",
        landmarks: str | Path | None = None,
    ) -> None:
        self.root, self.size, self.scheme = Path(root), size, scheme
        records = read_pairs(self.root)
        if split is not None:
            check_choice(split, "split", SPLITS)
            records = [record for record in records if record.split == split]
            if not records:
                raise ValueError(f"{self.root} has no pair in split {split!r}.")
        check_pairs(self.root, records)
        self.records = records
        self.landmarks_path = Path(landmarks) if landmarks else self.root / "landmarks.npz"
        self._places = self._read_cache()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.records)

    def __getitem__(self, index: int) -> Pair:
        """Read one pair."""
        record = self.records[index]
        points = self._points(record)[None]
        mask = eye_mask(points, (self.size, self.size), scheme=self.scheme)
        return Pair(self._read(record.photo), self._read(record.styled), mask[0], points[0])

    @property
    def weights(self) -> Tensor | None:
        """How often training draws each pair, (N,), when the manifest says so."""
        given = [record.facts.get("weight") for record in self.records]
        if all(weight is None for weight in given):
            return None
        return torch.tensor([1.0 if weight is None else float(weight) for weight in given])

    @property
    def fingerprint(self) -> str:
        """A hash that changes with the names, files, landmarks and size of the pairs."""
        names = [name for record in self.records for name in (record.photo, record.styled)]
        files = [(name, (self.root / name).stat().st_size) for name in names]
        known = [bool(self._points(record).isfinite().all()) for record in self.records]
        facts = repr((files, known, self.size, self.scheme))
        return hashlib.sha256(facts.encode()).hexdigest()

    def find_landmarks(self, landmarker: Landmarker, *, progress: bool = True) -> int:
        """Find the faces that the cache lacks, keep them beside the set, and return how many fail.

        A killed run goes on where the cache was last written.

        Raises:
            ValueError: The landmarker speaks another scheme.
            OSError: The cache cannot be written (name a place with ``landmarks=``).
        """
        if landmarker.scheme != self.scheme:
            raise ValueError(
                f"This set wants {self.scheme}; the landmarker is {landmarker.scheme}."
            )
        missing = [record for record in self.records if self._key(record) not in self._places]
        bar = tqdm(missing, desc="landmarks", unit="photo", disable=not progress or not missing)
        for count, record in enumerate(bar, start=1):
            self._places[self._key(record)] = self._detect(record, landmarker)
            if count % _SAVE_EVERY == 0 or count == len(missing):
                self._write_cache()
        return sum(bool(np.isnan(self._places[self._key(r)]).any()) for r in self.records)

    def _read(self, name: str) -> Tensor:
        image = read_image(self.root / name)
        if image.shape[-2:] == (self.size, self.size):
            return image
        resized = F.interpolate(
            image[None], (self.size, self.size), mode="bilinear", antialias=True
        )
        return resized[0]

    def _points(self, record: PairRecord) -> Tensor:
        place = self._places.get(self._key(record))
        if place is None:
            return torch.full((scheme_named(self.scheme).size, 2), torch.nan)
        return torch.from_numpy(place) * self.size

    def _detect(self, record: PairRecord, landmarker: Landmarker) -> np.ndarray:
        """Return the largest face's points as shares of the image's side, or NaN."""
        image = read_image(self.root / record.photo)
        faces = landmarker.detect(image)
        if not faces:
            return np.full((scheme_named(self.scheme).size, 2), np.nan, dtype=np.float32)
        points: np.ndarray = (faces[0].points / image.shape[-1]).numpy().astype(np.float32)
        return points

    def _key(self, record: PairRecord) -> str:
        """Name and size of the photo's file: a photo that was changed is looked at again."""
        return f"{record.photo}:{(self.root / record.photo).stat().st_size}"

    def _read_cache(self) -> dict[str, np.ndarray]:
        if not self.landmarks_path.is_file():
            return {}
        try:
            with np.load(self.landmarks_path, allow_pickle=False) as cache:
                if str(cache["scheme"]) != self.scheme:
                    return {}
                return dict(zip(cache["keys"].tolist(), cache["points"], strict=True))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ValueError(
                f"{self.landmarks_path} is no landmark cache ({error}); delete it to make it anew."
            ) from error

    def _write_cache(self) -> None:
        buffer = io.BytesIO()
        np.savez(
            buffer,
            scheme=np.array(self.scheme),
            keys=np.array(list(self._places)),
            points=np.stack(list(self._places.values())),
        )
        write_bytes(self.landmarks_path, buffer.getvalue())


class MixedPairs(ConcatDataset[Pair]):
    """Several pair sets as one, e.g. faces and whole photos for the post-edit network.

    Args:
        sets: Pairs of one size.

    Example:
        >>> faces = PairDataset(tiny_pairs, size=64)
        >>> len(MixedPairs([faces, faces]))
        16
    """

    @property
    def weights(self) -> Tensor | None:
        """How often training draws each pair; a set that says nothing counts each once."""
        given = [getattr(part, "weights", None) for part in self.datasets]
        if all(weights is None for weights in given):
            return None
        sizes = [len(cast("Sized", part)) for part in self.datasets]
        return torch.cat(
            [
                torch.ones(size) if weights is None else weights
                for weights, size in zip(given, sizes, strict=True)
            ]
        )
