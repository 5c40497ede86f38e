"""Render pairs from two generators: the same latent and the same noise, drawn twice.

Everything about pair ``i`` follows from the plan and ``i``, so any machine renders it alike, in
any order, and a manifest line is enough to render it again.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from snowai._checks import check_choice, check_shard
from snowai._files import sha256_of, write_text
from snowai.hub import find_checkpoint
from snowai.image import write_image
from snowai.models import Noise
from snowai.pairs.manifest import PairRecord, read_pairs, split_of, write_pairs
from snowai.styles import BlendRecipe, blend, edit_latents, load_generator, mix_styles, read_latents

__all__ = [
    "Edit",
    "PairRenderer",
    "RenderPlan",
    "render_pairs",
    "rerender_pair",
    "shard_from_environment",
]

PLAN = "render.json"


@dataclass(frozen=True)
class Edit:
    """An attribute that varies over the pairs.

    Args:
        name: For the manifest, e.g. "smile".
        direction: Of w, see :func:`snowai.styles.fit_direction`.
        low: Least amount.
        high: Largest amount.
        layers: Indices of ws that move; empty for all.
    """

    name: str
    direction: Sequence[float]
    low: float
    high: float
    layers: Sequence[int] = ()

    @classmethod
    def from_json(cls, text: str) -> "Edit":
        """Read what "snowai style direction" wrote.

        Raises:
            ValueError: Not JSON, or not an edit.
        """
        try:
            return cls(**json.loads(text))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(
                f"An edit is JSON with name, direction, low, high and layers ({error})."
            ) from None


@dataclass(frozen=True)
class RenderPlan:
    """All that a rendered pair set depends on; kept beside it as render.json.

    Args:
        base: Checkpoint of the generator that draws photos; a file or a shipped name.
        styled: Checkpoint of the generator that draws styled pictures, alike.
        count: Pairs.
        seed: Of the set; another seed gives other pairs.
        blend: Blends base and styled on the way; None when ``styled`` is blended already.
        truncation: 1 for the widest variety, 0.7 for safer faces.
        noise: "const" is the generators' own noise, "random" fresh noise for each pair, the same
            in both pictures, "none" the smoothest.
        colour_layers: This many of the last ws come from a second latent: more colours and light.
        edits: Attributes that vary.
        latents: A .safetensors file whose ``ws`` (N, n, w) replace the random latents, e.g. of
            :func:`snowai.styles.grow_seeds`; pair i uses the i-th, from the start again at the end.
        size: Side of the pictures; None for the generator's own.

    Raises:
        ValueError: A value is out of range.
    """

    base: str
    styled: str
    count: int
    seed: int = 0
    blend: BlendRecipe | None = None
    truncation: float = 0.8
    noise: Literal["const", "random", "none"] = "const"
    colour_layers: int = 0
    edits: Sequence[Edit] = field(default_factory=tuple)
    latents: str | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.noise, "noise", ("const", "random", "none"))
        if self.count < 1:
            raise ValueError(f"count must be at least 1; got {self.count}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for render.json."""
        values = asdict(self)
        values["blend"] = None if self.blend is None else json.loads(self.blend.to_json())
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RenderPlan":
        """Read what :meth:`to_dict` wrote."""
        kept = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        recipe = kept.get("blend")
        kept["blend"] = None if recipe is None else BlendRecipe.from_dict(recipe)
        kept["edits"] = tuple(Edit(**edit) for edit in kept.get("edits", ()))
        return cls(**kept)


class PairRenderer:
    """Renders the pairs of a plan, one index at a time.

    Args:
        plan: What to render.
        device: Where the generators run.

    Raises:
        FileNotFoundError: A checkpoint or the latents are missing.
        ValueError: A checkpoint is no generator, or the generators do not fit each other.
    """

    def __init__(self, plan: RenderPlan, *, device: str = "cpu") -> None:
        self.plan, self.device = plan, torch.device(device)
        self.base = load_generator(plan.base, device=device)
        styled = load_generator(plan.styled, device=device)
        # Only the base's mapping is ever asked: the two would read one z differently.
        self.styled = styled if plan.blend is None else blend(self.base, styled, plan.blend)
        if styled.num_ws != self.base.num_ws or styled.w_dim != self.base.w_dim:
            raise ValueError(
                f"{plan.base} has {self.base.num_ws} ws of {self.base.w_dim}, {plan.styled} has "
                f"{styled.num_ws} of {styled.w_dim}: they are not of one family."
            )
        if not 0 <= plan.colour_layers < self.base.num_ws:
            raise ValueError(
                f"colour_layers must be from 0 to {self.base.num_ws - 1}; got {plan.colour_layers}."
            )
        self.latents = None if plan.latents is None else read_latents(plan.latents, self.base)

    @torch.inference_mode()
    def __call__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return photo and styled picture (3, S, S) of one index."""
        ws, noise = self._draw(index)
        # Always alone: a batch would round differently, and bytes must not depend on company.
        photo, styled = (
            self._sized(generator.synthesis(ws, noise=noise))[0].cpu()
            for generator in (self.base, self.styled)
        )
        return photo, styled

    def facts(self, index: int) -> dict[str, Any]:
        """Return the manifest's columns: enough to render the pair again."""
        _, amounts, _ = self._roll(index)
        edits = {e.name: round(a, 6) for e, a in zip(self.plan.edits, amounts, strict=True)}
        facts: dict[str, Any] = {"source": "stylegan2", "index": index, "seed": self.plan.seed}
        facts |= {"truncation": self.plan.truncation, "noise": self.plan.noise}
        facts |= {"plan": PLAN}
        return facts | ({"edits": edits} if edits else {})

    def _roll(self, index: int) -> tuple[Tensor, list[float], torch.Generator]:
        """Return an index's latents, the amounts of its edits, and the dice for its noise."""
        dice = torch.Generator().manual_seed((self.plan.seed << 32) + index)
        latents = torch.randn(2, 1, self.base.z_dim, generator=dice)
        drawn = torch.rand(len(self.plan.edits), generator=dice).tolist()
        ranges = ((edit.low, edit.high) for edit in self.plan.edits)
        return (
            latents,
            [low + (high - low) * x for (low, high), x in zip(ranges, drawn, strict=True)],
            dice,
        )

    def _draw(self, index: int) -> tuple[Tensor, Noise]:
        plan = self.plan
        latents, amounts, dice = self._roll(index)
        z, other = latents.to(self.device)
        if self.latents is None:
            ws = self.base.mapping(z, truncation=plan.truncation)
        else:
            ws = self.latents[index % len(self.latents)][None].to(self.device)
        if plan.colour_layers:
            colours = self.base.mapping(other, truncation=plan.truncation)
            ws = mix_styles(ws, colours, self.base.num_ws - plan.colour_layers)
        for edit, amount in zip(plan.edits, amounts, strict=True):
            direction = torch.tensor(edit.direction)
            ws = edit_latents(ws, direction, amount, layers=list(edit.layers) or None)
        if plan.noise == "none":
            return ws, "none"
        if plan.noise == "const":
            # The base's for both: a styled generator may carry another.
            return ws, self.base.synthesis.noise_const()
        return ws, self.base.synthesis.draw_noise(1, generator=dice)

    def _sized(self, images: Tensor) -> Tensor:
        size = self.plan.size
        if size is not None and size != images.shape[-1]:
            images = F.interpolate(
                images, (size, size), mode="bicubic", align_corners=False, antialias=True
            )
        return images.clamp(0, 1)


def render_pairs(
    plan: RenderPlan,
    root: str | Path,
    *,
    shard: tuple[int, int] = (0, 1),
    device: str = "cpu",
) -> list[PairRecord]:
    """Render a pair set, or one shard of it; what is there already is left as it is.

    Several machines may write to one folder: whoever finishes the last pair writes the manifest,
    which is the same whoever does.

    Args:
        plan: What to render; kept as render.json.
        root: Folder of the pair set.
        shard: (i, N): this process renders every N-th pair, from the i-th on.
        device: Where the generators run.

    Returns:
        The records of the whole set.

    Raises:
        ValueError: The folder holds a set of another plan, or the generators do not fit.
        FileNotFoundError: A checkpoint is missing.
    """
    root = Path(root)
    number, count = shard
    check_shard(shard)
    renderer = PairRenderer(plan, device=device)
    _keep_plan(plan, root)
    records = [_record(renderer, index) for index in range(plan.count)]
    mine = range(number, plan.count, count)
    for index in tqdm(mine, desc="rendering", unit="pair"):
        _write_pair(renderer, root, index)
    if all((root / r.photo).is_file() and (root / r.styled).is_file() for r in records):
        write_pairs(root, records)
    return records


def _write_pair(renderer: PairRenderer, root: Path, index: int) -> None:
    """Render and write one pair, unless both files are there."""
    paths = [root / file for file in _files(renderer.plan, index)]
    if all(path.is_file() for path in paths):
        return
    for path, image in zip(paths, renderer(index), strict=True):
        write_image(path, image)


def rerender_pair(
    root: str | Path,
    name: str,
    *,
    base: str | Path | None = None,
    styled: str | Path | None = None,
    device: str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Render a pair of a set again, from its manifest line; the same on the same machine.

    Args:
        root: Folder of the pair set.
        name: Of the pair, as its files are called.
        base: Where the base's checkpoint is now, when it was moved.
        styled: Where the styled one is now.
        device: As when it was rendered.

    Returns:
        Photo and styled picture (3, S, S).

    Raises:
        FileNotFoundError: The set, its plan or a checkpoint is missing.
        ValueError: There is no such pair, it was not rendered, or a checkpoint has changed.
    """
    root = Path(root)
    record = next((r for r in read_pairs(root) if r.name == name), None)
    if record is None:
        raise ValueError(f"{root} has no pair {name!r}.")
    if record.facts.get("source") != "stylegan2":
        raise ValueError(f"Pair {name} was not rendered from generators, so it cannot be again.")
    values = _read_plan(root)
    moved = {"base": base, "styled": styled}
    values |= {key: str(path) for key, path in moved.items() if path is not None}
    plan = RenderPlan.from_dict(values)
    for kind in ("base", "styled"):
        path = getattr(plan, kind)
        if sha256_of(find_checkpoint(path)) != values["sha256"][kind]:
            raise ValueError(
                f"{path} is not the checkpoint that {root} was rendered from (its SHA-256 "
                f"differs); name the old one with {kind}=."
            )
    return PairRenderer(plan, device=device)(int(record.facts["index"]))


def shard_from_environment(environment: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Return (i, N) as torchrun or SLURM tell it, else (0, 1).

    Example:
        >>> shard_from_environment({"SLURM_PROCID": "2", "SLURM_NTASKS": "8"})
        (2, 8)
    """
    environment = os.environ if environment is None else environment
    for number, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if number in environment and count in environment:
            return int(environment[number]), int(environment[count])
    return 0, 1


def _files(plan: RenderPlan, index: int) -> tuple[str, str]:
    """Return where a pair's photo and styled picture lie in the set."""
    name = f"{plan.seed}-{index:06d}"
    return f"photo/{name}.png", f"styled/{name}.png"


def _record(renderer: PairRenderer, index: int) -> PairRecord:
    photo, styled = _files(renderer.plan, index)
    return PairRecord(photo, styled, split_of(Path(photo).stem), renderer.facts(index))


def _keep_plan(plan: RenderPlan, root: Path) -> None:
    """Write render.json, or refuse a folder that holds pairs of another plan."""
    hashes = {kind: sha256_of(find_checkpoint(getattr(plan, kind))) for kind in ("base", "styled")}
    values = plan.to_dict() | {"sha256": hashes}
    if (root / PLAN).is_file():
        kept = _read_plan(root)
        paths = ("base", "styled")
        odd = [
            k
            for k in values
            if k not in (*paths, "count") and kept.get(k) != json.loads(json.dumps(values[k]))
        ]
        if odd:
            raise ValueError(
                f"{root} holds pairs of another plan ({', '.join(odd)} differ); choose another "
                "folder, or go on with the same values."
            )
    write_text(root / PLAN, json.dumps(values, indent=2) + "\n")


def _read_plan(root: Path) -> dict[str, Any]:
    if not (root / PLAN).is_file():
        raise FileNotFoundError(f"{root} has no {PLAN}, so its pairs cannot be rendered again.")
    values: dict[str, Any] = json.loads((root / PLAN).read_text())
    return values
