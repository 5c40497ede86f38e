"""snowai train."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from torch import nn
from torch.utils.data import Dataset
from tyro.conf import Positional, arg

from snowai.cli.words import make_perceptual, say
from snowai.pairs import Pair
from snowai.train import PRESETS, TrainConfig

__all__ = ["preset_in", "train_command"]


def preset_in(arguments: Sequence[str]) -> str:
    """Return the preset that is named on the command line: the other options are its changes."""
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if here == "--preset" and following in PRESETS:
            return following
        if here.startswith("--preset=") and here.removeprefix("--preset=") in PRESETS:
            return here.removeprefix("--preset=")
    return ""


def train_command(chosen: str) -> Callable[..., int]:
    """Return the command; its options begin as the chosen preset has them."""
    begin = PRESETS[chosen] if chosen else TrainConfig()

    def train(
        pairs: Positional[tuple[Path, ...]],
        /,
        out: Annotated[Path, arg(aliases=["-o"])],
        preset: Literal["", "fast", "quality", "fran"] = "",  # noqa: ARG001 - read by preset_in.
        model: str = "se_unet_base",
        perceptual: Literal["lite0", "lpips-alex", "lpips-vgg", "lpips-squeeze"] = "lite0",
        backbone_weights: Path | None = None,
        eye_mask: bool = True,
        landmarks: Path | None = None,
        cache: bool = False,
        dry_run: bool = False,
        resume: bool = False,
        config: Annotated[TrainConfig, arg(name="")] = begin,
    ) -> int:
        """Train a filter on pair sets and write OUT/filter.safetensors.

        Pairs of the split "val", where there are any, choose OUT/best.safetensors.

        Args:
            pairs: Folders of pair sets; their training pairs are mixed.
            out: Folder of the run: samples, metrics, state and the filter.
            preset: Recipe to begin with: "fast" (no discriminator), "quality" (judged close up, no
                flicker) or "fran"; the other options change it.
            model: Preset; see "snowai models". An edit_* becomes a filter for whole photos.
            perceptual: lite0 needs no download; lpips-* may.
            backbone_weights: For lpips-*: torchvision's weights as .safetensors.
            eye_mask: Feed the eye mask; off trains the same network with an empty mask.
            landmarks: The landmarks' cache, when the (one) pair set cannot be written.
            cache: Decode the pairs once, into OUT/*.cache: 0.46 MB each at 256.
            dry_run: Take a few steps, tell memory, speed and time, and stop.
            resume: Go on with the run in OUT.
            config: Numbers of the run.
        """
        import torch

        from snowai.checkpoint import save
        from snowai.models import EyeMaskInput, create_model
        from snowai.train import estimate, fit

        if not pairs:
            raise ValueError("Name at least one pair set.")
        places = landmarks, eye_mask, out if cache else None
        training = _load(pairs, "train", config.size, *places)
        if training is None:
            raise ValueError("None of the sets has training pairs.")
        weights = config.weights
        judged = weights.perceptual > 0 or weights.eyes > 0
        judge = make_perceptual(perceptual, backbone_weights) if judged else None
        torch.manual_seed(config.seed)
        network = EyeMaskInput(create_model(model))
        if dry_run:
            say(str(estimate(network, training, config=config, perceptual=judge)))
            return 0
        validation = _load(pairs, "val", config.size, *places)
        result = fit(
            network,
            training,
            out,
            config=config,
            perceptual=judge,
            validation=validation,
            resume=resume,
        )
        names = ", ".join(root.name for root in pairs)
        facts = {"pairs": names, "model": model, "training": config.to_dict()}
        save(_as_filter(result.network, config.size), out / "filter.safetensors", provenance=facts)
        say(f"Filter: {out / 'filter.safetensors'}")
        return 0

    return train


def _load(
    roots: Sequence[Path],
    split: str,
    size: int,
    landmarks: Path | None,
    eye_mask: bool,
    cache: Path | None,
) -> Dataset[Pair] | None:
    """Return the pairs of a split of all sets; None where none has any."""
    from snowai.faces import MediaPipeLandmarker
    from snowai.pairs import CachedPairs, MixedPairs, PairDataset, read_pairs

    sets: list[Dataset[Pair]] = []
    for root in roots:
        if not any(record.split == split for record in read_pairs(root)):
            continue
        pairs = PairDataset(root, split=split, size=size, landmarks=landmarks)
        if eye_mask:
            missed = pairs.find_landmarks(MediaPipeLandmarker(max_faces=1))
            say(f"{root.name}: {len(pairs)} pairs to {split}; no face found in {missed}.")
        kept = cache / f"{root.name}-{split}-{size}.cache" if cache else None
        sets.append(CachedPairs(pairs, kept) if kept else pairs)
    if len(sets) == 1:
        return sets[0]
    return MixedPairs(sets) if sets else None


def _as_filter(network: nn.Module, size: int) -> nn.Module:
    from snowai.filters import FaceFilter, PhotoFilter
    from snowai.models import EditNet, EyeMaskInput

    inner = network.network if isinstance(network, EyeMaskInput) else network
    return PhotoFilter(inner) if isinstance(inner, EditNet) else FaceFilter(network, size=size)
