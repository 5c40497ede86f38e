"""Retouch a pair set: closed eyes, smiles and glasses for both pictures, light for one."""

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from snowai._checks import check_choice, check_shard
from snowai._files import write_text
from snowai.faces import (
    FaceEdit,
    Landmarker,
    Landmarks,
    brighten_eyes,
    close_eyes,
    enlarge_eyes,
    eye_openness,
    face_mask,
    iris_light,
    open_mouth,
    relight,
    shift_gaze,
    slim_face,
    smile,
    tint_cheeks,
    tint_lips,
    widen_eyes,
)
from snowai.faces.schemes import scheme_named
from snowai.image import read_image, write_image
from snowai.pairs.manifest import PairRecord, read_source, write_pairs
from snowai.pairs.occlude import OCCLUDERS, Cover, cover, visible_face

__all__ = ["GEOMETRY", "LIGHT", "Retouch", "RetouchRecipe", "retouch_pair", "retouch_pairs"]

RECIPE = "retouch.json"
_CLOSED = 0.08  # An eye_openness below which there is nothing left to close.


def _gaze(
    image: Tensor, points: Tensor, amount: float, *, scheme: str, angle: float = 0.0
) -> FaceEdit:
    if scheme != "mediapipe478":
        raise ValueError(f"shift_gaze needs irises, which {scheme} landmarks lack.")
    turn = math.radians(angle)
    return shift_gaze(image, points, (amount * math.cos(turn), amount * math.sin(turn)))


def _wink(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> FaceEdit:
    """Close one eye: the person's left for positive amounts."""
    sides = (amount, 0.0) if amount > 0 else (0.0, -amount)
    return close_eyes(image, points, sides, scheme=scheme)


def _iris_light(
    image: Tensor, points: Tensor, amount: float, *, scheme: str, **options: Any
) -> Tensor:
    if scheme != "mediapipe478":
        raise ValueError(f"iris_light needs irises, which {scheme} landmarks lack.")
    return iris_light(image, points, strength=amount, **options)


GEOMETRY: Mapping[str, Callable[..., FaceEdit]] = {
    "close_eyes": close_eyes,
    "wink": _wink,
    "widen_eyes": widen_eyes,
    "enlarge_eyes": enlarge_eyes,
    "shift_gaze": _gaze,
    "smile": smile,
    "open_mouth": open_mouth,
    "slim_face": slim_face,
}
"""Edits that move something: done to photo and styled picture alike, each by its own landmarks."""

LIGHT: Mapping[str, Callable[..., Tensor]] = {
    "iris_light": _iris_light,
    "brighten_eyes": brighten_eyes,
    "tint_lips": tint_lips,
    "tint_cheeks": tint_cheeks,
    "relight": relight,
}
"""Edits that paint: done to the styled picture alone, because they are part of the style."""


@dataclass(frozen=True)
class Retouch:
    """One edit of a recipe.

    Args:
        edit: A name of GEOMETRY, LIGHT or OCCLUDERS.
        low: Least amount; each pair draws its own. Of occluders, how opaque they are.
        high: Largest amount.
        share: Of the pairs, 0 to 1.
        options: Other arguments of the edit, e.g. ``{"shape": "window"}`` for iris_light or
            ``{"angle": 90.0}`` (down) for shift_gaze.

    Raises:
        ValueError: No such edit, or numbers out of range.

    Example:
        >>> Retouch("close_eyes", share=0.05)
        Retouch(edit='close_eyes', low=1.0, high=1.0, share=0.05, options={})
        >>> Retouch("close_mouth")
        Traceback (most recent call last):
        ValueError: edit must be one of close_eyes, wink, ...
    """

    edit: str
    low: float = 1.0
    high: float = 1.0
    share: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice(self.edit, "edit", (*GEOMETRY, *LIGHT, *OCCLUDERS))
        if not -1 <= self.low <= self.high <= 1:
            raise ValueError(
                f"{self.edit}: amounts must be low <= high, from -1 to 1; "
                f"got {self.low} and {self.high}."
            )
        if not 0 <= self.share <= 1:
            raise ValueError(f"{self.edit}: share must be in [0, 1]; got {self.share}.")


@dataclass(frozen=True)
class RetouchRecipe:
    """What is done to a pair set.

    Args:
        edits: In the order in which they are done.
        seed: Decides which pairs get what.

    Example:
        >>> recipe = RetouchRecipe((Retouch("smile", 0.3, 1.0, share=0.2),), seed=1)
        >>> RetouchRecipe.from_json(recipe.to_json()) == recipe
        True
    """

    edits: tuple[Retouch, ...]
    seed: int = 0

    def to_json(self) -> str:
        """Return the recipe as text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "RetouchRecipe":
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: No recipe, or an edit that is not known.
        """
        try:
            values = json.loads(text)
            edits = tuple(Retouch(**edit) for edit in values["edits"])
            return cls(edits, int(values.get("seed", 0)))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"This is no retouch recipe ({type(error).__name__}: {error}); it needs "
                '{"edits": [{"edit": "close_eyes", "share": 0.05}], "seed": 0}.'
            ) from None

    def draw(self, name: str) -> list[dict[str, Any]]:
        """Return what a pair of that name gets: edit, amount and options, always the same."""
        generator = torch.Generator().manual_seed((self.seed << 32) + zlib.crc32(name.encode()))
        chosen = []
        for edit in self.edits:
            # All numbers are drawn for every edit: one more edit does not change the others.
            lot, place, number = torch.rand(3, generator=generator).tolist()
            if lot < edit.share:
                amount = round(edit.low + place * (edit.high - edit.low), 4)
                options = dict(edit.options)
                if edit.edit in OCCLUDERS:
                    options.setdefault("seed", int(number * 2**24))
                chosen.append({"edit": edit.edit, "amount": amount, "options": options})
        return chosen


def retouch_pair(
    photo: Tensor,
    styled: Tensor,
    faces: tuple[Landmarks, Landmarks],
    edits: Sequence[Mapping[str, Any]],
) -> tuple[Tensor, Tensor, list[dict[str, Any]]]:
    """Edit one pair.

    Args:
        photo: :math:`(3, H, W)` in [0, 1].
        styled: Alike.
        faces: Landmarks of photo and styled picture.
        edits: As :meth:`RetouchRecipe.draw` gives them.

    Returns:
        Photo, styled picture, and the edits that were done: eyes that are closed already are not
        closed again, and occluders say what share of the face they hide.
    """
    images = [photo[None], styled[None]]
    points = [face.points[None] for face in faces]
    scheme, done = faces[0].scheme, []
    for edit in edits:
        name, amount, options = edit["edit"], edit["amount"], edit["options"]
        if name == "close_eyes" and eye_openness(points[0], scheme=scheme).amax() < _CLOSED:
            continue
        done.append(dict(edit))
        if name in LIGHT:
            images[1] = LIGHT[name](images[1], points[1], amount, scheme=scheme, **options)
            continue
        if name in OCCLUDERS:
            for side in range(2):
                layer = OCCLUDERS[name](images[side], points[side], scheme=scheme, **options)
                layer = layer._replace(alpha=layer.alpha * amount)
                images[side] = cover(images[side], layer)
                if side == 0:
                    done[-1]["hidden"] = _hidden(points[0], layer, scheme)
            continue
        for side in range(2):
            moved = GEOMETRY[name](images[side], points[side], amount, scheme=scheme, **options)
            images[side], points[side] = moved.image, moved.points
    return images[0][0], images[1][0], done


def _hidden(points: Tensor, layer: Cover, scheme: str) -> float:
    """Return the share of the face that a layer hides."""
    size = (layer.alpha.shape[-2], layer.alpha.shape[-1])
    seen = visible_face(points, layer, scheme=scheme).sum()
    whole = face_mask(points, size, scheme=scheme).sum()
    return round(1 - float(seen / whole.clamp_min(1e-6)), 4)


def retouch_pairs(
    source: str | Path,
    root: str | Path,
    recipe: RetouchRecipe,
    landmarker: Landmarker,
    *,
    shard: tuple[int, int] = (0, 1),
) -> list[PairRecord]:
    """Write a retouched copy of a pair set; the set itself stays as it is.

    What a pair gets depends on the recipe's seed and the pair's name alone, so shards, other
    orders and runs that were killed give the same set. Pairs without a face, and those that the
    recipe leaves out, are copied. The manifest keeps what was done to each.

    Args:
        source: Folder of the pair set.
        root: Folder of the new one.
        recipe: What to do; kept as retouch.json.
        landmarker: Finds the faces, in photos and in styled pictures.
        shard: (i, N): this process does every N-th pair, from the i-th on.

    Returns:
        The records of the new set, of those pairs that are done.

    Raises:
        ValueError: The folder holds a set of another recipe, or is the source itself.
        OSError: The folder cannot be written.
    """
    check_shard(shard)
    source, root = Path(source), Path(root)
    records = read_source(source, root)
    _try(recipe, landmarker.scheme)
    _keep_recipe(recipe, source, root)
    mine = records[shard[0] :: shard[1]]
    for record in tqdm(mine, desc="retouching", unit="pair"):
        if not _facts_path(root, record).is_file():
            _write_one(record, source, root, recipe, landmarker)
    done = [
        replace(_named(record), facts=json.loads(_facts_path(root, record).read_text()))
        for record in records
        if _facts_path(root, record).is_file()
    ]
    if len(done) == len(records):
        write_pairs(root, done)
    return done


def _try(recipe: RetouchRecipe, scheme: str) -> None:
    """Ask each edit for its least and largest amount: a wrong one ends the run before it begins.

    On a picture without a face edits check what they are given and change nothing.
    """
    blank = torch.zeros(3, 32, 32)
    nobody = Landmarks(torch.full((scheme_named(scheme).size, 2), torch.nan), scheme)
    for edit in recipe.edits:
        for amount in (edit.low, edit.high):
            wanted = {"edit": edit.edit, "amount": amount, "options": edit.options}
            try:
                retouch_pair(blank, blank, (nobody, nobody), [wanted])
            except (TypeError, ValueError) as error:
                place = f"{edit.edit} at {amount}, {dict(edit.options)}"
                raise ValueError(f"{place}: {error}") from None


def _write_one(
    record: PairRecord, source: Path, root: Path, recipe: RetouchRecipe, landmarker: Landmarker
) -> None:
    photo, styled = (read_image(source / path) for path in (record.photo, record.styled))
    edits = recipe.draw(record.name)
    facts = dict(record.facts)
    if edits:
        found = [landmarker.detect(image) for image in (photo, styled)]
        if found[0]:
            # A styled face that is not found lies where the photo's does: they are aligned.
            faces = (found[0][0], (found[1] or found[0])[0])
            photo, styled, edits = retouch_pair(photo, styled, faces, edits)
        else:
            edits, facts["retouch_note"] = [], "no face was found"
    new = _named(record)
    write_image(root / new.photo, photo)
    write_image(root / new.styled, styled)
    # The facts come last: where they are, the pair is done.
    write_text(_facts_path(root, record), json.dumps(facts | {"retouch": edits}))


def _named(record: PairRecord) -> PairRecord:
    """Return the record with the new set's files, which are .png whatever they were."""
    return replace(record, photo=f"photo/{record.name}.png", styled=f"styled/{record.name}.png")


def _facts_path(root: Path, record: PairRecord) -> Path:
    return root / "facts" / f"{record.name}.json"


def _keep_recipe(recipe: RetouchRecipe, source: Path, root: Path) -> None:
    """Write retouch.json, or refuse a folder that holds another recipe's pairs."""
    values = json.loads(recipe.to_json()) | {"source": source.name}
    path = root / RECIPE
    if path.is_file() and json.loads(path.read_text()) != values:
        raise ValueError(
            f"{root} holds pairs of another recipe or set; choose another folder, or go on with "
            f"what {RECIPE} in it says."
        )
    write_text(path, json.dumps(values, indent=2) + "\n")
