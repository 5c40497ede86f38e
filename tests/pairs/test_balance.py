"""What a set shows: measured on faces made so, counted, said in words, and weighed."""

import json
import math

import pytest
import torch

from snowai.cli import main
from snowai.faces import align, close_eyes, smile
from snowai.pairs import (
    ATTRIBUTES,
    BalanceReport,
    PairDataset,
    balance_pairs,
    cover,
    glasses,
    measure_face,
    read_pairs,
    write_weights,
)


def seen(image, landmarker):
    return measure_face(image[0], landmarker.detect(image[0])[0])


@pytest.fixture(scope="module")
def plain(crop, landmarker):
    return seen(crop[0], landmarker)


def test_the_astronaut_looks_ahead_with_open_eyes_and_smiles(plain):
    assert set(plain) == set(ATTRIBUTES)
    assert abs(plain["yaw"]) < 10
    assert abs(plain["pitch"]) < 12
    assert 0.15 < plain["openness"] < 0.3
    assert plain["smile"] > 0.5
    assert plain["glasses"] < 0.05
    assert plain["size"] == pytest.approx(0.24, abs=0.03)


def test_an_edit_changes_the_attribute_that_it_is_for(crop, landmarker, plain):
    image, face = crop
    points, scheme = face.points[None], face.scheme
    assert seen(close_eyes(image, points, 1.0, scheme=scheme).image, landmarker)["openness"] < 0.12
    wink = close_eyes(image, points, (1.0, 0.0), scheme=scheme).image
    assert seen(wink, landmarker)["wink"] > plain["wink"] + 0.08
    sad = smile(image, points, -1.0, scheme=scheme).image
    assert seen(sad, landmarker)["smile"] < plain["smile"] - 0.2
    worn = cover(image, glasses(image, points, scheme=scheme))
    assert seen(worn, landmarker)["glasses"] > 0.1
    dark = seen(image * 0.4, landmarker)
    assert dark["brightness"] < plain["brightness"] / 2
    assert dark["skin"] < plain["skin"] - 20  # Light changes it: the caveat is there for that.


def test_a_smaller_face_is_smaller_and_a_turned_one_the_same(crop, landmarker, plain):
    image, _ = crop
    half = torch.tensor([[[0.5, 0.0, 64.0], [0.0, 0.5, 64.0]]])
    small = seen(align(image, half, 256), landmarker)
    assert small["size"] == pytest.approx(plain["size"] / 2, rel=0.1)
    angle = math.radians(15)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = torch.tensor([128.0, 128.0])
    matrix = torch.cat([turn, (centre - turn @ centre)[:, None]], dim=1)[None]
    turned = seen(align(image, matrix, 256), landmarker)
    assert turned["glasses"] == pytest.approx(plain["glasses"], abs=0.02)
    assert turned["openness"] == pytest.approx(plain["openness"], abs=0.03)
    assert turned["yaw"] == pytest.approx(plain["yaw"], abs=6)


def report(**values):
    count = len(next(iter(values.values())))
    return BalanceReport(tuple(f"{i:03d}" for i in range(count)), values)


def test_groups_are_counted_and_gaps_said_in_words():
    openness = (0.05,) + (0.2,) * 98 + (math.nan,)
    found = report(openness=openness, yaw=(0.0,) * 80 + (-30.0,) * 10 + (30.0,) * 10)
    counts = found.groups("openness")
    assert list(counts.values()) == [1, 98, 0]
    assert found.gaps() == [
        "1 of 99 (1.0 %) have both eyes closed: add --close-eyes 0.05 (snowai pairs retouch)."
    ]


def test_rare_pairs_weigh_more_and_never_more_than_the_limit():
    openness = (0.05,) + (0.2,) * 99
    weights = report(openness=openness).weights(limit=3.0)
    assert weights.mean().item() == pytest.approx(1, abs=1e-5)
    assert weights[0] / weights[1] == pytest.approx(3 / math.sqrt(50 / 99), rel=1e-3)
    even = report(openness=(0.05, 0.2, 0.4)).weights()
    torch.testing.assert_close(even, torch.ones(3))
    both = report(openness=openness, yaw=(0.0,) * 99 + (30.0,))
    only = both.weights(attributes=["yaw"])
    assert only[0] == only[1] < only[99]


def test_pairs_that_could_not_be_measured_keep_their_weight():
    weights = report(openness=(math.nan, 0.2, 0.2, 0.05)).weights()
    assert weights[3] > weights[0] > weights[1]


def test_a_report_is_json(tiny_pairs, landmarker):
    found = balance_pairs(tiny_pairs, landmarker)
    facts = json.loads(found.to_json())
    assert len(facts["names"]) == 8
    assert facts["groups"]["openness"]["have both eyes closed"] == 0
    assert "light and camera" in facts["caveat"]


@pytest.fixture
def mine(tmp_path, tiny_pairs):
    import shutil

    return shutil.copytree(tiny_pairs, tmp_path / "mine")


def test_weights_reach_the_dataset(mine):
    assert PairDataset(mine, size=64).weights is None
    weights = torch.tensor([3.0] + [0.7] * 7)
    write_weights(mine, weights)
    torch.testing.assert_close(PairDataset(mine, size=64).weights, weights)
    assert read_pairs(mine)[0].facts["source"] == "astronaut.png"
    with pytest.raises(ValueError, match="has 8 pairs; got weights"):
        write_weights(mine, torch.ones(3))


def test_the_command_reports_and_weighs(mine, capsys):
    assert main(["pairs", "balance", str(mine), "--weights"]) == 0
    said = capsys.readouterr().out
    assert "0 of 8 (0.0 %) have both eyes closed: add --close-eyes 0.05" in said
    assert "light and camera change it as much as skin does" in said
    assert (mine / "balance.png").is_file()
    assert PairDataset(mine, size=64).weights is not None
