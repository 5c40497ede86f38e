"""Choose the pairs worth training on: scores, rules learnt or given, and a veto by hand."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from snowai._checks import check_choice, check_shard
from snowai._files import write_text
from snowai.image import read_image, write_image
from snowai.pairs.manifest import PairRecord, manifest_lines, read_source, write_pairs
from snowai.pairs.scores import SCORES, PairScorer, hash_distance

__all__ = ["SelectRules", "Selection", "select_pairs"]

RULES, REJECTED, DECISIONS, HAND = "rules.json", "rejected.jsonl", "decisions.json", "hand.json"
_PREVIEW = 192  # Height of the pictures in review/, in pixels.

Window = tuple[float | None, float | None]


@dataclass(frozen=True)
class SelectRules:
    """When a pair is good enough.

    Args:
        windows: Least and largest value of each score; None where there is no limit. Scores that
            a pair lacks are not held against it.
        duplicate_bits: A photo whose hash differs from an earlier kept one's by no more bits of
            512 is a duplicate.

    Raises:
        ValueError: There is no such score.

    Example:
        >>> rules = SelectRules({"eyes_apart": (None, 0.1)})
        >>> rules.reasons({"faces": 2, "eyes_apart": 0.2})
        ['the eyes lie in other places: eyes_apart 0.2 > 0.1']
        >>> rules.reasons({"faces": 1})
        ['a face is missing in one of the pictures or both']
    """

    windows: Mapping[str, Window] = field(default_factory=dict)
    duplicate_bits: int = 32

    def __post_init__(self) -> None:
        unknown = sorted(set(self.windows) - set(SCORES))
        if unknown:
            raise ValueError(f"Rules speak of {', '.join(SCORES)}; got {', '.join(unknown)}.")

    @classmethod
    def learn(
        cls, scores: Sequence[Mapping[str, Any]], *, reach: float = 2.5, duplicate_bits: int = 32
    ) -> "SelectRules":
        r"""Take a set's own middle half as the measure of what is usual.

        A value is too high beyond :math:`q_{75} + \text{reach} (q_{75} - q_{25})`, too low alike:
        Tukey's fences, which up to a quarter of bad pairs cannot move far.

        Args:
            scores: Of the set's pairs.
            reach: Larger ones reject less.
            duplicate_bits: As it is.
        """
        windows: dict[str, Window] = {}
        for name, score in SCORES.items():
            values = torch.tensor([float(s[name]) for s in scores if name in s])
            if len(values) < 4:
                continue
            low, high = values.quantile(torch.tensor([0.25, 0.75])).tolist()
            fence = max(reach * (high - low), score.slack)
            windows[name] = (
                None if score.wrong == "high" else round(low - fence, 4),
                None if score.wrong == "low" else round(high + fence, 4),
            )
        return cls(windows, duplicate_bits)

    def reasons(self, scores: Mapping[str, Any]) -> list[str]:
        """Return why a pair is not good enough, in words; nothing for a good one."""
        if scores["faces"] < 2:
            return ["a face is missing in one of the pictures or both"]
        found = []
        for name, (low, high) in self.windows.items():
            value = scores.get(name)
            if value is None:
                continue
            if high is not None and value > high:
                found.append(f"{SCORES[name].meaning}: {name} {value:.3g} > {high:.3g}")
            if low is not None and value < low:
                found.append(f"{SCORES[name].meaning}: {name} {value:.3g} < {low:.3g}")
        return found

    def to_json(self) -> str:
        """Return the rules as text."""
        return json.dumps(
            {"windows": dict(self.windows), "duplicate_bits": self.duplicate_bits}, indent=2
        )

    @classmethod
    def from_json(cls, text: str) -> "SelectRules":
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: No rules, or of a score that is not known.
        """
        try:
            values = json.loads(text)
            windows = {name: (low, high) for name, (low, high) in values["windows"].items()}
            return cls(windows, int(values.get("duplicate_bits", 32)))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"These are no rules ({type(error).__name__}: {error}); they look like "
                '{"windows": {"eyes_apart": [null, 0.1]}, "duplicate_bits": 32}.'
            ) from None


class Selection(NamedTuple):
    """What was chosen; rejected pairs have their "reasons" among their facts."""

    kept: list[PairRecord]
    rejected: list[PairRecord]
    rules: SelectRules


def select_pairs(
    source: str | Path,
    root: str | Path,
    scorer: PairScorer,
    *,
    rules: SelectRules | None = None,
    reach: float = 2.5,
    hand: Mapping[str, str] | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Selection | None:
    """Write the good pairs of a set to a folder of their own; the set itself stays as it is.

    Every pair is measured once (scores/NAME.json); called again, also after a kill or with other
    rules, only the choice is made anew. ``root`` becomes a pair set of what is kept, its manifest
    with the scores, and rejected.jsonl lists the others with reasons. review/kept and
    review/rejected hold a preview of each pair: move one from one folder to the other, call again,
    and your decision stands (hand.json).

    Args:
        source: Folder of the pair set.
        root: Folder of the selection.
        scorer: Measures the pairs.
        rules: Default: learnt from the set's own scores.
        reach: Of learnt rules, see :meth:`SelectRules.learn`.
        hand: Decisions by name of the pair, "kept" or "rejected", whatever the scores.
        shard: (i, N): this process measures every N-th pair, from the i-th on.

    Returns:
        What was chosen, or None as long as other shards still have pairs to measure.

    Raises:
        ValueError: The folder is the source itself, or a name is no pair's.
        OSError: The folder cannot be written.
    """
    check_shard(shard)
    source, root = Path(source), Path(root)
    records = read_source(source, root)
    _check_hand(hand or {}, records)
    _measure(records[shard[0] :: shard[1]], source, root, scorer)
    scores = {record.name: _read_scores(record, source, root, scorer) for record in records}
    known = {name: facts for name, facts in scores.items() if facts is not None}
    if len(known) < len(scores):
        return None
    rules = rules or SelectRules.learn(list(known.values()), reach=reach)
    decided = _read_hand(root) | dict(hand or {})
    write_text(root / HAND, json.dumps(decided, indent=0))
    # A run that is killed below leaves previews in both places: none of them speaks for a hand.
    (root / DECISIONS).unlink(missing_ok=True)
    reasons = _judge(records, known, rules, decided)
    kept, rejected = [], []
    for record in tqdm(records, desc="writing", unit="pair"):
        facts = {**record.facts, "scores": known[record.name]}
        why = reasons[record.name]
        _place(record, source, root, good=not why)
        if why:
            rejected.append(replace(record, facts={**facts, "reasons": why}))
        else:
            kept.append(replace(record, facts=facts))
    write_text(root / RULES, rules.to_json() + "\n")
    write_text(root / REJECTED, manifest_lines(rejected))
    write_pairs(root, kept)
    decisions = {name: "rejected" if why else "kept" for name, why in reasons.items()}
    write_text(root / DECISIONS, json.dumps(decisions, indent=0))
    return Selection(kept, rejected, rules)


def _measure(records: Sequence[PairRecord], source: Path, root: Path, scorer: PairScorer) -> None:
    """Write the scores of the pairs that have none yet."""
    for record in tqdm(records, desc="measuring", unit="pair"):
        if _read_scores(record, source, root, scorer) is None:
            images = [read_image(source / path) for path in (record.photo, record.styled)]
            facts = scorer(*images) | {"bytes": _sizes(record, source)}
            write_text(_scores_path(root, record), json.dumps(facts))


def _check_hand(hand: Mapping[str, str], records: Sequence[PairRecord]) -> None:
    strangers = sorted(set(hand) - {record.name for record in records})
    if strangers:
        raise ValueError(f"{len(strangers)} names are no pair's, e.g. {strangers[0]!r}.")
    for verdict in hand.values():
        check_choice(verdict, "A decision by hand", ("kept", "rejected"))


def _scores_path(root: Path, record: PairRecord) -> Path:
    return root / "scores" / f"{record.name}.json"


def _read_scores(
    record: PairRecord, source: Path, root: Path, scorer: PairScorer
) -> dict[str, Any] | None:
    """Return what was measured of these very files, or None where that has to be done."""
    path = _scores_path(root, record)
    if not path.is_file():
        return None
    facts: dict[str, Any] = json.loads(path.read_text())
    same = facts.pop("bytes") == _sizes(record, source)
    return facts if same and scorer.extras <= facts.keys() else None


def _sizes(record: PairRecord, source: Path) -> list[int]:
    return [(source / path).stat().st_size for path in (record.photo, record.styled)]


def _judge(
    records: Sequence[PairRecord],
    scores: Mapping[str, Mapping[str, Any]],
    rules: SelectRules,
    hand: Mapping[str, str],
) -> dict[str, list[str]]:
    """Return each pair's reasons; duplicates are looked for among what is kept so far."""
    reasons: dict[str, list[str]] = {}
    hashes: dict[str, str] = {}
    for record in records:
        name = record.name
        if name in hand:
            reasons[name] = ["by hand"] if hand[name] == "rejected" else []
        else:
            reasons[name] = rules.reasons(scores[name])
            twin = _twin(scores[name]["hash"], hashes, rules.duplicate_bits)
            if twin is not None:
                reasons[name].append(f"the photo is nearly that of {twin}")
        if not reasons[name]:
            hashes[name] = scores[name]["hash"]
    return reasons


def _twin(own: str, hashes: Mapping[str, str], bits: int) -> str | None:
    return next((name for name, other in hashes.items() if hash_distance(own, other) <= bits), None)


def _read_hand(root: Path) -> dict[str, str]:
    """Return all decisions by hand: those known, and previews that were moved since."""
    hand: dict[str, str] = {}
    if (root / HAND).is_file():
        hand = json.loads((root / HAND).read_text())
    if not (root / DECISIONS).is_file():
        return hand
    before: dict[str, str] = json.loads((root / DECISIONS).read_text())
    for verdict in ("kept", "rejected"):
        for preview in (root / "review" / verdict).glob("*.jpg"):
            if before.get(preview.stem, verdict) != verdict:
                hand[preview.stem] = verdict
    return hand


def _place(record: PairRecord, source: Path, root: Path, *, good: bool) -> None:
    """Bring a pair's files and its preview to where the decision says."""
    verdict, other = ("kept", "rejected") if good else ("rejected", "kept")
    preview = root / "review" / verdict / f"{record.name}.jpg"
    moved = root / "review" / other / f"{record.name}.jpg"
    if moved.is_file():
        preview.parent.mkdir(parents=True, exist_ok=True)
        moved.replace(preview)
    elif not preview.is_file():
        images = [read_image(source / path) for path in (record.photo, record.styled)]
        write_image(preview, torch.cat([_small(image) for image in images], dim=2), quality=85)
    for path in (record.photo, record.styled):
        if not good:
            (root / path).unlink(missing_ok=True)
        elif not _same(source / path, root / path):
            _link(source / path, root / path)


def _small(image: Tensor) -> Tensor:
    size = (_PREVIEW, round(image.shape[-1] * _PREVIEW / image.shape[-2]))
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def _same(source: Path, target: Path) -> bool:
    return target.is_file() and target.stat().st_size == source.stat().st_size


def _link(source: Path, target: Path) -> None:
    """Share the file's bytes where the disk can; every writer of ours replaces files whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except FileExistsError:
        return  # Another shard that ended at the same time was faster.
    except OSError:
        shutil.copyfile(source, target)
