"""CachedPairs: the same pairs without decoding."""

import pytest
import torch
from torch.utils.data import DataLoader

import snowai
from snowai.pairs import CachedPairs, Pair, PairDataset


@pytest.fixture
def pairs(tiny_pairs, landmarker, tmp_path_factory):
    places = tmp_path_factory.mktemp("landmarks") / "landmarks.npz"
    found = PairDataset(tiny_pairs, size=64, landmarks=places)
    found.find_landmarks(landmarker, progress=False)
    return found


def assert_same(kept, pairs):
    assert len(kept) == len(pairs)
    for index in range(len(pairs)):
        wanted, got = pairs[index], kept[index]
        for part, other in zip(wanted[:3], got[:3], strict=True):
            assert (part - other).abs().max() <= 0.5 / 255 + 1e-6
        torch.testing.assert_close(got.points, wanted.points, equal_nan=True)


def test_memory_and_file_keep_the_pairs(pairs, tmp_path):
    assert_same(CachedPairs(pairs), pairs)
    assert_same(CachedPairs(pairs, tmp_path / "pairs.cache"), pairs)


def test_nothing_is_decoded_twice(pairs, tmp_path, monkeypatch):
    CachedPairs(pairs, tmp_path / "pairs.cache")
    reads = []
    read = PairDataset.__getitem__
    monkeypatch.setattr(
        PairDataset, "__getitem__", lambda self, i: (reads.append(i), read(self, i))[1]
    )
    kept = CachedPairs(pairs, tmp_path / "pairs.cache")
    batches = list(DataLoader(kept, batch_size=4, num_workers=1))
    assert len(batches) == 2
    assert reads == [0]  # Its shape, once.


def test_a_cache_of_other_pairs_is_refused(pairs, tiny_pairs, tmp_path):
    CachedPairs(pairs, tmp_path / "pairs.cache")
    without_landmarks = PairDataset(tiny_pairs, size=64, landmarks=tmp_path / "none.npz")
    with pytest.raises(ValueError, match="made for other pairs"):
        CachedPairs(without_landmarks, tmp_path / "pairs.cache")


def test_a_cache_that_was_killed_half_way_is_made_anew(pairs, tmp_path):
    class Killed(PairDataset):
        def __getitem__(self, index):
            if index == 5:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    killed = Killed(pairs.root, size=64, landmarks=pairs.landmarks_path)
    with pytest.raises(KeyboardInterrupt):
        CachedPairs(killed, tmp_path / "pairs.cache")
    assert not list(tmp_path.iterdir())
    assert_same(CachedPairs(pairs, tmp_path / "pairs.cache"), pairs)


def test_sizes_must_agree_and_indices_exist():
    def pair(side):
        image = torch.zeros(3, side, side)
        return Pair(image, image, image[:1], torch.zeros(68, 2))

    with pytest.raises(ValueError, match="number 1 has"):
        CachedPairs([pair(8), pair(16)])
    with pytest.raises(IndexError, match="There are 1 pairs"):
        CachedPairs([pair(8)])[1]


def test_fit_takes_them(pairs, tmp_path):
    config = snowai.TrainConfig(
        steps=1,
        batch_size=2,
        size=64,
        weights=snowai.train.LossWeights(perceptual=0, adversarial=0, feature_matching=0),
    )
    network = snowai.EyeMaskInput(snowai.create_model("se_unet_tiny"))
    assert snowai.fit(network, CachedPairs(pairs), tmp_path, config=config).metrics["pixel"] > 0
