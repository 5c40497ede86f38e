"""Does a student learn closed eyes, smiles and glasses when its pairs show them?

    nox -s bench -- diversity --data ../shared/data

Trains se_unet_base twice on the train split of pairs_cute, once as it is and once retouched by
RECIPE: the same photos, steps, seeds and losses. Both are tried on the test photos as they are,
with closed eyes, with broad smiles and with glasses; none of them was trained on. The target is the
teacher's picture with the same edit by its own landmarks.
The data is for measuring only: neither it, nor weights, nor the sheet enter the repository.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pairs_cute
import torch
import tyro
from results import write_section
from torch import Tensor, nn
from torch.utils.data import default_collate

from snowai.analysis import paired_distances, sheet
from snowai.faces import Landmarker, MediaPipeLandmarker, eye_openness
from snowai.image import write_image
from snowai.losses import LPIPSLoss
from snowai.pairs import (
    CachedPairs,
    Pair,
    PairDataset,
    Retouch,
    RetouchRecipe,
    read_pairs,
    retouch_pairs,
    write_pairs,
)
from snowai.train import LossWeights, TrainConfig

RECIPE = RetouchRecipe(
    (
        Retouch("smile", -0.5, 1.0, share=0.2),
        Retouch("open_mouth", 0.2, 1.0, share=0.1),
        Retouch("shift_gaze", -0.9, 0.9, share=0.1),
        Retouch("wink", -1.0, 1.0, share=0.05),
        Retouch("close_eyes", 0.9, 1.0, share=0.1),
        Retouch("medical_mask", share=0.05),
        Retouch("glasses", share=0.15),
        Retouch("microphone", share=0.03),
    ),
    seed=1,
)
TESTS: Mapping[str, tuple[Retouch, ...]] = {
    "as they are": (),
    "closed eyes": (Retouch("close_eyes"),),
    "broad smile": (Retouch("smile"),),
    "glasses": (Retouch("glasses"),),
}
ARMS = ("plain", "retouched")


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        data: The folder shared/data.
        steps: Updates of each arm.
        batch_size: Pairs a step.
        seeds: Each arm is trained once with each.
        threads: Of torch; leave a core to others.
        work: Folder of the runs; a killed benchmark goes on from there.
    """

    data: Path = Path("../shared/data")
    steps: int = 1000
    batch_size: int = 4
    seeds: tuple[int, ...] = (0,)
    threads: int = 2
    work: Path = Path("runs/diversity")


Measures = dict[str, list[float]]


def main(arguments: Arguments) -> None:
    """Retouch, train and measure what is not there yet, and write the report."""
    torch.set_num_threads(arguments.threads)
    landmarker = MediaPipeLandmarker(max_faces=1)
    weights = arguments.data / "weights" / "squeezenet1_1_imagenet.safetensors"
    lpips = LPIPSLoss("squeeze", backbone_weights=weights)
    plain = one_split("train", arguments)
    retouch_pairs(plain, arguments.work / "retouched", RECIPE, landmarker)
    networks: dict[str, list[nn.Module]] = {}
    for arm, root in zip(ARMS, (plain, arguments.work / "retouched"), strict=True):
        pairs = PairDataset(root, split="train")
        pairs.find_landmarks(landmarker)
        networks[arm] = [train(arm, seed, pairs, lpips, arguments) for seed in arguments.seeds]
    found, rows = {}, []
    for name, edits in TESTS.items():
        root = arguments.work / name.replace(" ", "_")
        retouch_pairs(one_split("test", arguments), root, RetouchRecipe(edits), landmarker)
        tests = PairDataset(root)
        tests.find_landmarks(landmarker)
        found[name], shown = measure(networks, tests, lpips, landmarker)
        rows += shown
    write_image(arguments.work / "sheet.png", sheet(rows, titles=["photo", *ARMS, "target"]))
    write_section("diversity", table(found, arguments))


def one_split(split: str, arguments: Arguments) -> Path:
    """Return a folder that shows one split of pairs_cute as a set of its own."""
    source, root = arguments.data / "pairs_cute", arguments.work / f"{split}_split"
    root.mkdir(parents=True, exist_ok=True)
    for kind in ("photo", "styled"):
        if not (root / kind).exists():
            (root / kind).symlink_to((source / kind).resolve())
    write_pairs(root, [record for record in read_pairs(source) if record.split == split])
    return root


def train(
    arm: str, seed: int, pairs: PairDataset, lpips: LPIPSLoss, arguments: Arguments
) -> nn.Module:
    """Return a student; the recipe is the one that the figures in results.md were taken with."""
    config = TrainConfig(
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=1e-3,
        precision="bf16",
        seed=seed,
        weights=LossWeights(perceptual=10.0, adversarial=0.0, feature_matching=0.0),
        sample_every=100,
        save_every=100,
    )
    folder = arguments.work / arm / f"{arguments.steps}-{seed}"
    return pairs_cute.train_base(CachedPairs(pairs), folder, config, lpips)


@torch.no_grad()
def measure(
    networks: Mapping[str, Sequence[nn.Module]],
    pairs: PairDataset,
    lpips: LPIPSLoss,
    landmarker: Landmarker,
) -> tuple[dict[str, dict[str, Measures]], list[Sequence[Tensor]]]:
    """Return each arm's measures for each photo, and two rows of pictures.

    Pairs count whose faces are found in the photo and in the target.
    """
    sums: dict[str, Measures] = {
        arm: {"openness": [], "lpips": [], "eye_lpips": []} for arm in ("photo", *networks)
    }
    rows: list[Sequence[Tensor]] = []
    for index in range(len(pairs)):
        pair = Pair(*default_collate([pairs[index]]))
        wanted = openness(pair.styled, landmarker)
        if wanted is None or not bool(pair.points.isfinite().all()):
            continue
        drawn = {"photo": [pair.photo]} | {
            arm: [network(pair.photo, pair.eye_mask).clamp(0, 1) for network in seeds]
            for arm, seeds in networks.items()
        }
        for arm, images in drawn.items():
            for image in images:
                away = paired_distances(image, pair.styled, pair.points, lpips=lpips)
                seen = openness(image, landmarker)
                # A face that cannot be found any more counts as an eye wrong by its whole opening.
                error = 0.25 if seen is None else float((seen - wanted).abs().mean())
                sums[arm]["openness"].append(error)
                sums[arm]["lpips"].append(away["lpips"])
                sums[arm]["eye_lpips"].append(away["eye_lpips"])
        if len(rows) < 2:
            rows.append([*(images[0][0] for images in drawn.values()), pair.styled[0]])
    return sums, rows


def openness(image: Tensor, landmarker: Landmarker) -> Tensor | None:
    """Return how far a picture's eyes are open, (1, 2), or None where no face is found."""
    faces = landmarker.detect(image[0])
    return eye_openness(faces[0].points[None], scheme=faces[0].scheme) if faces else None


def table(found: Mapping[str, Mapping[str, Measures]], arguments: Arguments) -> str:
    """Return the report as Markdown."""
    seeds = " ".join(map(str, arguments.seeds))
    lines = [
        f"se_unet_base at 256, {arguments.steps} steps of {arguments.batch_size} pairs, seeds "
        f"{seeds}, on the train split of pairs_cute as it is (plain) or retouched by the recipe in "
        "benchmarks/diversity.py; edits of test photos that neither saw. Openness error: mean "
        "difference of the lids' distance from the target's, in eye widths (0.25 is a whole eye). "
        "LPIPS-squeeze to the target as a ratio to the photo's own. In brackets: the 95 % interval "
        "of the difference, retouched less plain, over the photos.",
        "",
        "Command: `nox -s bench -- diversity --data ../shared/data --steps "
        f"{arguments.steps} --seeds {seeds}`",
        "",
        "| test photos | measure | photo itself | plain | retouched | difference |",
        "|---|---|---|---|---|---|",
    ]
    titles = {
        "openness": "openness error",
        "lpips": "LPIPS ratio",
        "eye_lpips": "LPIPS ratio, eyes",
    }
    for test, arms in found.items():
        for name, title in titles.items():
            photo, plain, other = (torch.tensor(arms[arm][name]) for arm in ("photo", *ARMS))
            base = 1.0 if name == "openness" else float(photo.mean())
            # Of one photo, the mean over the seeds.
            gap = (other - plain).view(len(photo), -1).mean(dim=1) / base
            half = 1.96 * float(gap.std()) / len(gap) ** 0.5
            lines.append(
                f"| {test} | {title} | {photo.mean() / base:.3f} | {plain.mean() / base:.3f} "
                f"| {other.mean() / base:.3f} "
                f"| {gap.mean():+.3f} ({gap.mean() - half:+.3f} to {gap.mean() + half:+.3f}) |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
