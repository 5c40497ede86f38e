"""Pair sets: partners by name, checked before training, landmarks beside them."""

import json
import shutil

import numpy as np
import pytest
import torch

from snowai.image import read_image, write_image
from snowai.pairs import (
    MixedPairs,
    PairDataset,
    PairRecord,
    check_pairs,
    read_pairs,
    split_of,
    write_pairs,
)


@pytest.fixture
def bare(tmp_path):
    """Six pairs without a manifest; each picture is a flat colour that tells its number."""
    for number in range(6):
        for kind, add in (("photo", 0.0), ("styled", 0.5)):
            colour = torch.full((3, 32, 32), number / 16 + add)
            write_image(tmp_path / kind / f"{number:02d}.png", colour)
    return tmp_path


def numbers(root):
    pairs = PairDataset(root, size=32)
    return [
        (round(p.photo.mean().item() * 16), round((p.styled.mean().item() - 0.5) * 16))
        for p in pairs
    ]


def test_partners_are_matched_by_name(bare):
    assert numbers(bare) == [(n, n) for n in range(6)]


def test_suffixes_may_differ(bare):
    image = read_image(bare / "styled" / "03.png")
    (bare / "styled" / "03.png").unlink()
    write_image(bare / "styled" / "03.webp", image)
    assert numbers(bare)[3] == (3, 3)


@pytest.mark.parametrize("kind", ["photo", "styled"])
def test_a_missing_partner_is_an_error_and_never_a_shift(bare, kind):
    # zip(sorted(...)) would pair 03 with 04 and everything after it alike.
    (bare / kind / "02.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 6 images .* partner, e.g. 02\.png"):
        PairDataset(bare)


def test_a_missing_partner_in_the_manifest_is_named(bare):
    write_pairs(bare, read_pairs(bare))
    (bare / "styled" / "04.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 6 pairs .* no styled image, e.g. styled/04"):
        PairDataset(bare)


def test_different_sizes_are_named(bare):
    write_image(bare / "styled" / "01.png", torch.rand(3, 32, 48))
    with pytest.raises(ValueError, match="Pair 01 .* photo 32x32, styled 48x32"):
        PairDataset(bare)


def test_pairs_are_square(bare):
    for kind in ("photo", "styled"):
        write_image(bare / kind / "01.png", torch.rand(3, 32, 48))
    with pytest.raises(ValueError, match="Pair 01 .* is 48x32; pairs are square"):
        PairDataset(bare)


def test_one_pair_is_too_few(bare):
    for number in range(1, 6):
        for kind in ("photo", "styled"):
            (bare / kind / f"{number:02d}.png").unlink()
    with pytest.raises(ValueError, match="holds 1 pair; training needs at least 2"):
        PairDataset(bare)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("not json", "line 3, must be JSON"),
        ('{"photo_file_name": "photo/00.png"}', "line 3, must be JSON with photo_file_name"),
        ('["a"]', "line 3, must be JSON"),
        (
            '{"photo_file_name": "a.png", "styled_file_name": "b.png", "split": "x"}',
            "line 3: split must be one of",
        ),
    ],
)
def test_malformed_manifest_lines_are_named(bare, line, sentence):
    write_pairs(bare, read_pairs(bare))
    lines = (bare / "metadata.jsonl").read_text().splitlines()
    lines[2] = line
    (bare / "metadata.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=sentence):
        PairDataset(bare)


def test_manifest_round_trip_keeps_every_column(bare):
    records = [
        PairRecord(f"photo/{n:02d}.png", f"styled/{n:02d}.png", "val", {"seed": n, "edits": ["a"]})
        for n in range(6)
    ]
    write_pairs(bare, records)
    assert read_pairs(bare) == records
    row = json.loads((bare / "metadata.jsonl").read_text().splitlines()[0])
    assert list(row)[:2] == ["photo_file_name", "styled_file_name"]


def test_splits_do_not_depend_on_the_rest_of_the_set(bare):
    before = {record.name: record.split for record in read_pairs(bare)}
    write_image(bare / "photo" / "zz.png", torch.rand(3, 32, 32))
    write_image(bare / "styled" / "zz.png", torch.rand(3, 32, 32))
    after = {record.name: record.split for record in read_pairs(bare)}
    assert before.items() <= after.items()


def test_splits_have_about_their_shares():
    splits = [split_of(f"{number:05d}") for number in range(4000)]
    assert splits.count("test") / 4000 == pytest.approx(0.05, abs=0.015)
    assert splits.count("val") / 4000 == pytest.approx(0.05, abs=0.015)


def test_split_chooses_and_empty_splits_are_refused(bare):
    write_pairs(bare, [PairRecord(r.photo, r.styled, "train") for r in read_pairs(bare)])
    assert len(PairDataset(bare, split="train")) == 6
    with pytest.raises(ValueError, match="no pair in split 'test'"):
        PairDataset(bare, split="test")
    with pytest.raises(ValueError, match="split must be one of"):
        PairDataset(bare, split="dev")


def test_no_pair_set_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="needs the folders photo/ and styled/"):
        PairDataset(tmp_path)


def test_check_names_a_file_that_is_no_image(bare):
    (bare / "photo" / "05.png").write_text("no image")
    with pytest.raises(ValueError, match=r"05\.png is not a readable"):
        check_pairs(bare, read_pairs(bare))


class Counting:
    scheme = "mediapipe478"

    def __init__(self, landmarker, fail_after=10**9):
        self.landmarker, self.calls, self.fail_after = landmarker, 0, fail_after

    def detect(self, image):
        self.calls += 1
        if self.calls > self.fail_after:
            raise KeyboardInterrupt
        return self.landmarker.detect(image)


@pytest.fixture
def faces(tiny_pairs, tmp_path):
    shutil.copytree(tiny_pairs, tmp_path / "set")
    return tmp_path / "set"


def test_landmarks_are_found_once_and_kept_beside_the_set(faces, landmarker):
    counting = Counting(landmarker)
    pairs = PairDataset(faces, size=64)
    assert not pairs[0].eye_mask.any()
    missed = pairs.find_landmarks(counting, progress=False)
    assert missed < len(pairs)
    assert (faces / "landmarks.npz").is_file()
    again = PairDataset(faces, size=64)
    again.find_landmarks(counting, progress=False)
    assert counting.calls == len(pairs)
    np.testing.assert_array_equal(again[0].points, pairs[0].points)


def test_points_follow_the_size(faces, landmarker):
    small, large = (PairDataset(faces, size=size) for size in (64, 128))
    small.find_landmarks(landmarker, progress=False)
    large = PairDataset(faces, size=128)
    torch.testing.assert_close(large[0].points, small[0].points * 2, equal_nan=True)
    assert large[0].photo.shape == (3, 128, 128)


def test_a_changed_photo_is_looked_at_again(faces, landmarker):
    pairs = PairDataset(faces, size=64)
    pairs.find_landmarks(landmarker, progress=False)
    image = read_image(faces / pairs.records[0].photo)
    write_image(faces / pairs.records[0].photo, image.flip(-1))
    counting = Counting(landmarker)
    PairDataset(faces, size=64).find_landmarks(counting, progress=False)
    assert counting.calls == 1


def test_the_cache_can_live_elsewhere(faces, landmarker, tmp_path):
    PairDataset(faces, landmarks=tmp_path / "cache.npz").find_landmarks(landmarker, progress=False)
    assert (tmp_path / "cache.npz").is_file()
    assert not (faces / "landmarks.npz").exists()


def test_a_damaged_cache_is_named(faces):
    (faces / "landmarks.npz").write_bytes(b"PK broken")
    with pytest.raises(ValueError, match=r"landmarks\.npz is no landmark cache"):
        PairDataset(faces)


def test_another_scheme_is_refused(faces, landmarker):
    with pytest.raises(ValueError, match="wants ibug68; the landmarker is mediapipe478"):
        PairDataset(faces, scheme="ibug68").find_landmarks(landmarker)


def test_hugging_face_reads_the_same_columns(faces):
    # imagefolder turns NAME_file_name into the image column NAME.
    for line in (faces / "metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert (faces / row["photo_file_name"]).is_file()
        assert (faces / row["styled_file_name"]).is_file()


def test_mixed_sets_keep_their_weights(tiny_pairs):
    plain = PairDataset(tiny_pairs, size=64)
    assert MixedPairs([plain, plain]).weights is None

    class Weighted(list):
        weights = torch.tensor([3.0, 4.0])

    mixed = MixedPairs([plain, Weighted([plain[0], plain[1]])])
    assert len(mixed) == 10
    assert mixed.weights.tolist() == [1.0] * 8 + [3.0, 4.0]
    torch.testing.assert_close(mixed[9].photo, plain[1].photo)
