"""Does the gate find broken pairs, and does it leave good ones alone?

    nox -s bench -- gate --data ../shared/data

Takes the 1,400 pairs of pairs_cute, breaks 300 of them in ten known ways, and lets the rules that
the mixture itself teaches decide. Reports how many of each kind are found, and how many good pairs
are lost. The data is for measuring only: nothing of it enters the repository.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import kornia
import torch
import tyro
from results import write_section
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from snowai.faces import Landmarker, MediaPipeLandmarker, close_eyes, open_mouth
from snowai.image import read_image, write_image
from snowai.pairs import PairRecord, PairScorer, read_pairs, select_pairs, write_pairs

EACH = 30  # Broken pairs of each kind.
TWIN = "the photo is nearly that of"
OTHER = 1000  # How far before a broken pair the other one lies, which is whole.


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        data: The folder shared/data.
        work: Folder of the sets; a killed benchmark goes on from there.
        reach: Of the learnt rules.
        strength: Of the breaks that have degrees: 1 is as the names say, 0.5 half of it.
        threads: Of torch.
    """

    data: Path = Path("../shared/data")
    work: Path = Path("runs/gate")
    reach: float = 2.5
    strength: float = 1.0
    threads: int = 2


class Breaker:
    """The ten ways, each from (photo, styled) and another pair's to a broken pair."""

    def __init__(self, landmarker: Landmarker, strength: float) -> None:
        self.landmarker, self.strength = landmarker, strength
        self.ways: Mapping[str, Callable[..., tuple[Tensor, Tensor]]] = {
            "another person's picture": lambda photo, _, other: (photo, other[1]),
            "eyes closed in one": self.closed,
            "mouth open in one": self.opened,
            "shifted by 5 %": self.shifted,
            "turned by 8 degrees": self.turned,
            "not styled at all": lambda photo, _styled, _other: (photo, photo),
            "blurred": self.blurred,
            "overexposed": self.overexposed,
            "torn: a quarter is noise": self.torn,
            "the same photo twice": lambda _photo, _styled, other: (retaken(other[0]), other[1]),
        }

    def closed(self, photo: Tensor, styled: Tensor, _: object) -> tuple[Tensor, Tensor]:
        """Close the eyes of the styled picture alone."""
        face = self.landmarker.detect(styled)[0]
        edit = close_eyes(styled[None], face.points[None], self.strength, scheme=face.scheme)
        return photo, edit.image[0]

    def opened(self, photo: Tensor, styled: Tensor, _: object) -> tuple[Tensor, Tensor]:
        """Open the mouth of the styled picture alone."""
        face = self.landmarker.detect(styled)[0]
        edit = open_mouth(styled[None], face.points[None], self.strength, scheme=face.scheme)
        return photo, edit.image[0]

    def shifted(self, photo: Tensor, styled: Tensor, _: object) -> tuple[Tensor, Tensor]:
        """Move the styled picture to the right."""
        step = round(styled.shape[-1] * 0.05 * self.strength)
        return photo, F.pad(styled[None], (step, 0, 0, 0), mode="replicate")[0, :, :, :-step]

    def turned(self, photo: Tensor, styled: Tensor, _: object) -> tuple[Tensor, Tensor]:
        """Turn the styled picture."""
        angle = torch.tensor([8.0 * self.strength])
        return photo, kornia.geometry.rotate(styled[None], angle, padding_mode="border")[0]

    def blurred(self, photo: Tensor, styled: Tensor, _: object) -> tuple[Tensor, Tensor]:
        """Lose the fine detail, as a generator that was not trained to its end."""
        sigma = (1.5 * self.strength,) * 2
        return photo, kornia.filters.gaussian_blur2d(styled[None], (9, 9), sigma)[0]

    def overexposed(self, photo: Tensor, styled: Tensor, _: object) -> tuple[Tensor, Tensor]:
        """Burn the styled picture's highlights out."""
        return photo, (styled * (1 + 0.5 * self.strength) + 0.1 * self.strength).clamp(0, 1)

    def torn(self, photo: Tensor, styled: Tensor, _: object) -> tuple[Tensor, Tensor]:
        """Put noise where a generator might have failed: a corner of half the side."""
        broken, half = styled.clone(), styled.shape[-1] // 2
        noise = torch.rand(3, half, half, generator=torch.Generator().manual_seed(0))
        broken[:, half:, :half] = broken[:, half:, :half].lerp(noise, 0.3 * self.strength)
        return photo, broken


def retaken(photo: Tensor) -> Tensor:
    """Make the same photo again, a little darker and noisier."""
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    return (photo * 0.93 + 0.01 * noise).clamp(0, 1)


def main(arguments: Arguments) -> None:
    """Break, measure, select, and write the report."""
    torch.set_num_threads(arguments.threads)
    landmarker = MediaPipeLandmarker(max_faces=1)
    broken = break_pairs(arguments, Breaker(landmarker, arguments.strength))
    scorer = PairScorer.with_lite0(landmarker)
    mixed = arguments.work / "mixed"
    selection = select_pairs(mixed, arguments.work / "selected", scorer, reach=arguments.reach)
    if selection is not None:
        title = "gate" if arguments.strength == 1 else f"gate: strength {arguments.strength:g}"
        write_section(title, table(selection.rejected, broken, arguments))


def break_pairs(arguments: Arguments, breaker: Breaker) -> dict[str, str]:
    """Write the mixed set and return how each broken pair was broken."""
    source, root = arguments.data / "pairs_cute", arguments.work / "mixed"
    records = read_pairs(source)
    # The last pairs are broken: of two like photos the first is kept.
    victims = records[-EACH * len(breaker.ways) :]
    ways = [way for way in breaker.ways for _ in range(EACH)]
    known = {victim.name: way for victim, way in zip(victims, ways, strict=True)}
    written = []
    for index, record in enumerate(tqdm(records, desc="breaking", unit="pair")):
        new = PairRecord(f"photo/{record.name}.png", f"styled/{record.name}.png", record.split)
        written.append(new)
        if (root / new.photo).is_file() and (root / new.styled).is_file():
            continue
        pair, other = (
            tuple(read_image(source / path) for path in (r.photo, r.styled))
            for r in (record, records[index - OTHER])
        )
        if record.name in known:
            pair = breaker.ways[known[record.name]](*pair, other)
        for path, image in zip((new.photo, new.styled), pair, strict=True):
            write_image(root / path, image)
    write_pairs(root, written)
    return known


def table(rejected: list[PairRecord], broken: Mapping[str, str], arguments: Arguments) -> str:
    """Return the report as Markdown."""
    names = {record.name: record.facts["reasons"] for record in rejected}
    twins = [n for n, why in names.items() if n not in broken and why[0].startswith(TWIN)]
    lost = [name for name in names if name not in broken and name not in twins]
    good = 1400 - len(broken)
    lines = [
        f"1,400 pairs of pairs_cute, 300 of them broken in ten ways ({EACH} each); rules learnt "
        f"from the mixture, reach {arguments.reach:g}; feature distance of EfficientNet-Lite0 at "
        f"strides 8 and 16, no discriminator. Strength {arguments.strength:g}: shifts, turns, "
        "blur, noise, lids and mouths are that share of what their names say.",
        "",
        f"Command: `nox -s bench -- gate --data ../shared/data --strength {arguments.strength:g}`",
        "",
        "| broken how | found | what said so |",
        "|---|---|---|",
    ]
    for way in dict.fromkeys(broken.values()):
        caught = [names[name] for name, how in broken.items() if how == way and name in names]
        told = [reason.split(": ")[-1].split(" ")[0] for reasons in caught for reason in reasons]
        ranked = sorted(set(told), key=lambda word: -told.count(word))[:3]
        said = ", ".join(
            f"{'hash' if word == 'the' else word} {told.count(word)}" for word in ranked
        )
        lines.append(f"| {way} | {len(caught)} of {EACH} | {said} |")
    found = sum(name in names for name in broken)
    lines.append(f"| all | {found} of {len(broken)} ({found / len(broken):.1%}) | |")
    lines.append(f"| not broken, but rejected | {len(lost)} of {good} ({len(lost) / good:.1%}) | |")
    lines += [
        "",
        f"Besides, {len(twins)} photos that pairs_cute really holds twice were rejected.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
