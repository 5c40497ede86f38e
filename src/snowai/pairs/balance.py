"""What a set shows how often: poses, eyes, smiles, glasses, light, skin; and how to even it out."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import kornia
import torch
from torch import Tensor
from tqdm.auto import tqdm

from snowai.faces import Landmarker, Landmarks, align, eye_openness, face_mask, head_pose
from snowai.faces.landmarks import region_points
from snowai.faces.warp import face_axes
from snowai.image import read_image
from snowai.pairs.manifest import PairRecord, read_pairs, write_pairs

__all__ = [
    "ATTRIBUTES",
    "SKIN_CAVEAT",
    "Attribute",
    "BalanceReport",
    "balance_pairs",
    "measure_face",
    "write_weights",
]

SKIN_CAVEAT = (
    "Skin tone is the picture's ITA angle: light and camera change it as much as skin does. It "
    "tells how skin looks in these pictures, not who is shown."
)


class Attribute(NamedTuple):
    """One thing that varies over a set.

    Args:
        title: With its unit.
        edges: Between the groups that it falls into.
        groups: Their names, one more than edges; "have" or "are" can stand before each.
        least: The share that each group should have, alike in order; 0 asks for none.
        cures: What to do when a group is short of that.
    """

    title: str
    edges: tuple[float, ...]
    groups: tuple[str, ...]
    least: tuple[float, ...]
    cures: tuple[str, ...]


_POSE = "render more with a direction for it (snowai style direction, pairs render --edits)"
_PHOTOS = "add photos, or latents grown from photos (snowai style grow), of such people"
ATTRIBUTES: Mapping[str, Attribute] = {
    "yaw": Attribute(
        "yaw, degrees to their left",
        (-20.0, 20.0),
        ("are turned to their right", "look ahead", "are turned to their left"),
        (0.05, 0.0, 0.05),
        (_POSE, "", _POSE),
    ),
    "pitch": Attribute(
        "pitch, degrees upwards",
        (-15.0, 15.0),
        ("look down", "look ahead", "look up"),
        (0.03, 0.0, 0.03),
        (_POSE, "", _POSE),
    ),
    "openness": Attribute(
        "opening of the eyes, eye widths",
        (0.12, 0.3),
        ("have both eyes closed", "have usual eyes", "have wide eyes"),
        (0.02, 0.0, 0.0),
        ("add --close-eyes 0.05 (snowai pairs retouch)", "", ""),
    ),
    "wink": Attribute(
        "difference of the eyes' opening",
        (0.12,),
        ("have eyes that are open alike", "wink"),
        (0.0, 0.01),
        ("", "add --wink 0.03 (snowai pairs retouch)"),
    ),
    "smile": Attribute(
        "smile, 0 to 1",
        (0.15, 0.5),
        ("do not smile", "smile a little", "smile broadly"),
        (0.1, 0.0, 0.1),
        ("add --smile 0.2 (snowai pairs retouch)", "", "add --smile 0.2 (snowai pairs retouch)"),
    ),
    "glasses": Attribute(
        "edges around the eyes, as glasses have",
        (0.06,),
        ("wear no glasses", "wear glasses"),
        (0.0, 0.05),
        ("", "add --glasses 0.1 (snowai pairs retouch)"),
    ),
    "brightness": Attribute(
        "brightness of the face",
        (0.3, 0.7),
        ("are dark", "have usual light", "are bright"),
        (0.03, 0.0, 0.03),
        ("train with PairAugment's light", "", "train with PairAugment's light"),
    ),
    "skin": Attribute(
        "skin tone, ITA degrees",
        (-30.0, 10.0, 28.0, 41.0, 55.0),
        (
            "have dark skin",
            "have brown skin",
            "have tan skin",
            "have intermediate skin",
            "have light skin",
            "have very light skin",
        ),
        (0.05, 0.05, 0.05, 0.05, 0.05, 0.0),
        (*(_PHOTOS,) * 5, ""),
    ),
    "size": Attribute(
        "distance of the eyes, share of the side",
        (0.15, 0.3),
        ("are small", "have usual size", "are close up"),
        (0.0, 0.0, 0.0),
        ("", "", ""),
    ),
}
"""What is looked at, by name; skin's groups are those of Del Bino and Bernerd,
https://doi.org/10.1111/bjd.12529."""


def measure_face(image: Tensor, face: Landmarks) -> dict[str, float]:
    """Return the attributes of one face.

    Args:
        image: (3, H, W) in [0, 1].
        face: Where it is.

    Returns:
        The :data:`ATTRIBUTES` by name; "smile" only where the landmarker gives blendshapes.
        "glasses" is an estimate: it looks for edges across the nose and below the eyes.
    """
    points = face.points[None]
    yaw, pitch, _ = head_pose(points, scheme=face.scheme)[0].tolist()
    left, right = eye_openness(points, scheme=face.scheme)[0].tolist()
    distance = float(face_axes(points, scheme=face.scheme)[2])
    found = {
        "yaw": yaw,
        "pitch": pitch,
        "openness": max(left, right),
        "wink": abs(left - right),
        "glasses": _glasses(image[None], points, face.scheme),
        "size": distance / max(image.shape[-2:]),
        **_skin(image[None], points, face.scheme),
    }
    smiles = [face.blendshapes.get(f"mouthSmile{side}") for side in ("Left", "Right")]
    known = [value for value in smiles if value is not None]
    if known:
        found["smile"] = sum(known) / len(known)
    return {name: round(value, 4) for name, value in found.items()}


def _skin(image: Tensor, points: Tensor, scheme: str) -> dict[str, float]:
    """Return the face's brightness and its ITA angle, by medians: eyes and lips weigh little."""
    size = (image.shape[-2], image.shape[-1])
    inside = face_mask(points, size, scheme=scheme)[0, 0] > 0.5
    if not bool(inside.any()):
        return {}
    lightness, _, yellow = (
        float(channel[inside].median()) for channel in kornia.color.rgb_to_lab(image)[0]
    )
    light = float(kornia.color.rgb_to_grayscale(image)[0, 0][inside].median())
    return {"brightness": light, "skin": math.degrees(math.atan2(lightness - 50, yellow))}


def _glasses(image: Tensor, points: Tensor, scheme: str) -> float:
    """Return how strong horizontal edges are on the nose's bridge and below the eyes."""
    across, downwards, distance = face_axes(points, scheme=scheme)
    axes = torch.stack([across, downwards], dim=1) * (32 / distance)[..., None]
    eyes = [region_points(points, f"{side}_eye", scheme=scheme) for side in ("left", "right")]
    middle = torch.stack([eye.mean(dim=1) for eye in eyes]).mean(dim=0)
    shift = 32 - axes @ middle[..., None]
    # 64 pixels, the eyes' centres at 16 and 48, half-way down.
    crop = align(image, torch.cat([axes, shift], dim=2), 64)
    grey = kornia.color.rgb_to_grayscale(crop)[0, 0]
    edges = (grey[2:] - grey[:-2]).abs() / 2
    strongest = [
        edges[rows, columns].amax(dim=0).mean()
        for rows, columns in (
            (slice(24, 40), slice(28, 36)),
            (slice(40, 52), slice(8, 24)),
            (slice(40, 52), slice(40, 56)),
        )
    ]
    return math.sqrt(float(strongest[0] * (strongest[1] + strongest[2]) / 2))


@dataclass(frozen=True)
class BalanceReport:
    """What a set shows.

    Args:
        names: Of the pairs.
        values: For each attribute, a number for each pair; nan where it could not be measured.
    """

    names: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]

    def groups(self, attribute: str) -> dict[str, int]:
        """Count the pairs in each group of an attribute."""
        counts = torch.bincount(self._places(attribute), minlength=self._size(attribute) + 1)
        return dict(zip(ATTRIBUTES[attribute].groups, counts[:-1].tolist(), strict=True))

    def gaps(self) -> list[str]:
        """Say in words what the set lacks, and what to do about it.

        Example:
            >>> report = BalanceReport(("a", "b"), {"openness": (0.25, 0.25)})
            >>> report.gaps()
            ['0 of 2 (0.0 %) have both eyes closed: add --close-eyes 0.05 (snowai pairs retouch).']
        """
        said = []
        for name in self.values:
            attribute, counts = ATTRIBUTES[name], self.groups(name)
            total = sum(counts.values())
            for (group, count), least, cure in zip(
                counts.items(), attribute.least, attribute.cures, strict=True
            ):
                if total and count < least * total:
                    share = f"{count / total:.1%}".replace("%", " %")
                    said.append(f"{count:,} of {total:,} ({share}) {group}: {cure}.")
        return said

    def weights(self, *, attributes: Sequence[str] = (), limit: float = 5.0) -> Tensor:
        r"""Return how often to draw each pair, so that rare ones are seen more often.

        .. math:: w = \prod_a \sqrt{\bar n_a / n_a},\quad \text{clamped to } [1 / L, L]

        with :math:`n_a` the pairs in the same group of attribute :math:`a` and :math:`\bar n_a`
        the mean over its groups.

        Args:
            attributes: Which count; default all that were measured.
            limit: :math:`L`.

        Returns:
            (N,) with mean 1.
        """
        factors = torch.ones(len(self.names), dtype=torch.float64)
        for name in attributes or self.values:
            places = self._places(name)
            counts = torch.bincount(places, minlength=self._size(name) + 1)[:-1].double()
            mean = counts[counts > 0].mean()
            # Pairs that could not be measured lie in the last place and keep their weight.
            factor = torch.cat([(mean / counts.clamp_min(1)).sqrt(), torch.ones(1).double()])
            factors = factors * factor[places]
        factors = factors.clamp(1 / limit, limit)
        return (factors / factors.mean()).float()

    def columns(self) -> dict[str, tuple[float, ...]]:
        """Return the values by the attributes' titles, as a plot wants them."""
        return {ATTRIBUTES[name].title: values for name, values in self.values.items()}

    def edges(self) -> dict[str, tuple[float, ...]]:
        """Return the borders between groups by the attributes' titles."""
        return {ATTRIBUTES[name].title: ATTRIBUTES[name].edges for name in self.values}

    def to_json(self) -> str:
        """Return names, values, groups and gaps as text."""
        values = {
            name: [None if math.isnan(value) else value for value in column]
            for name, column in self.values.items()
        }
        groups = {name: self.groups(name) for name in self.values}
        facts = {"groups": groups, "gaps": self.gaps(), "caveat": SKIN_CAVEAT}
        return json.dumps(facts | {"names": self.names, "values": values}, indent=1)

    def _size(self, attribute: str) -> int:
        return len(ATTRIBUTES[attribute].groups)

    def _places(self, attribute: str) -> Tensor:
        """Return each pair's group; one past the last for pairs that could not be measured."""
        values = torch.tensor(self.values[attribute], dtype=torch.float64)
        edges = torch.tensor(ATTRIBUTES[attribute].edges, dtype=torch.float64)
        places = torch.bucketize(values.nan_to_num(), edges, right=True)
        return torch.where(values.isnan(), self._size(attribute), places)


def balance_pairs(root: str | Path, landmarker: Landmarker) -> BalanceReport:
    """Look at every photo of a set.

    Args:
        root: Folder of the pair set; it is only read.
        landmarker: Finds the faces; MediaPipe's also knows smiles.

    Returns:
        The report; photos without a face count as not measured.
    """
    root, rows = Path(root), list[dict[str, float]]()
    records = read_pairs(root)
    for record in tqdm(records, desc="looking", unit="photo"):
        photo = read_image(root / record.photo)
        faces = landmarker.detect(photo)
        rows.append(measure_face(photo, faces[0]) if faces else {})
    measured = [name for name in ATTRIBUTES if any(name in row for row in rows)]
    columns = {name: tuple(row.get(name, math.nan) for row in rows) for name in measured}
    return BalanceReport(tuple(record.name for record in records), columns)


def write_weights(root: str | Path, weights: Tensor) -> None:
    """Put weights into a set's manifest, where training finds them.

    Args:
        root: Folder of the pair set.
        weights: (N,), in the manifest's order; 1 draws a pair as often as without weights.

    Raises:
        ValueError: Not one weight for each pair.
    """
    records = read_pairs(root)
    if weights.shape != (len(records),):
        raise ValueError(f"{root} has {len(records)} pairs; got weights {tuple(weights.shape)}.")
    weighted: list[PairRecord] = [
        replace(record, facts={**record.facts, "weight": round(weight, 4)})
        for record, weight in zip(records, weights.tolist(), strict=True)
    ]
    write_pairs(root, weighted)
