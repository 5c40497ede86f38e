"""The gate: scores that mean something, rules that a set teaches, and a hand that overrules."""

import json
import shutil

import pytest
import torch
from torch.nn import functional as F

from snowai.cli import main
from snowai.faces import close_eyes, smile
from snowai.image import read_image, write_image
from snowai.pairs import (
    SCORES,
    PairRecord,
    PairScorer,
    SelectRules,
    difference_hash,
    flatten_colours,
    hash_distance,
    read_pairs,
    select_pairs,
    write_pairs,
)


def blur(image):
    return F.avg_pool2d(F.pad(image[None], (3, 3, 3, 3), mode="replicate"), 7, stride=1)[0]


@pytest.fixture(scope="module")
def scorer(landmarker):
    return PairScorer.with_lite0(landmarker)


@pytest.fixture(scope="module")
def pair(crop):
    """The astronaut, and a styled picture that moves nothing."""
    image, face = crop
    return image[0], (flatten_colours(image, passes=3) ** 0.8)[0], face


@pytest.fixture(scope="module")
def good(scorer, pair):
    return scorer(pair[0], pair[1])


def test_a_good_pair_has_every_score_that_was_asked_for(good):
    assert good["faces"] == 2
    assert set(SCORES) - set(good) == {"artefacts"}
    assert good["eyes_apart"] < 0.03
    assert abs(good["openness_apart"]) < 0.05
    assert json.loads(json.dumps(good)) == good


def test_each_fault_raises_the_score_that_names_it(scorer, pair, good):
    photo, styled, face = pair
    points = face.points[None]
    closed = close_eyes(styled[None], points, 1.0, scheme=face.scheme).image[0]
    assert scorer(photo, closed)["openness_apart"] < good["openness_apart"] - 0.1
    wink = close_eyes(photo[None], points, (1.0, 0.0), scheme=face.scheme).image[0]
    assert scorer(wink, styled)["openness_apart"] > good["openness_apart"] + 0.1
    smiling = smile(styled[None], points, 1.0, scheme=face.scheme).image[0]
    assert scorer(photo, smiling)["mouth_apart"] > 2 * good["mouth_apart"]
    shifted = F.pad(styled[None], (16, 0, 0, 0), mode="replicate")[0, :, :, :-16]
    moved = scorer(photo, shifted)
    assert moved["eyes_apart"] == pytest.approx(16 / 80, rel=0.4)
    assert moved["jaw_apart"] > good["jaw_apart"] + 0.1
    assert scorer(photo, photo)["distance"] == pytest.approx(0, abs=1e-6)
    assert scorer(photo, blur(styled))["sharpness"] < good["sharpness"] - 1
    bright = scorer(photo, (styled * 2).clamp(0, 1))
    assert bright["light"] > good["light"] + 0.1
    assert bright["clipped"] > good["clipped"] + 0.2


def test_a_pair_without_faces_is_measured_as_far_as_it_can_be(scorer):
    grey = torch.full((3, 64, 64), 0.5)
    scores = scorer(grey, grey)
    assert scores["faces"] == 0
    assert "eyes_apart" not in scores
    assert SelectRules().reasons(scores) == ["a face is missing in one of the pictures or both"]


def test_a_discriminator_scores_artefacts(landmarker, pair):
    class Brightness(torch.nn.Module):
        resolution = 32

        def forward(self, image):
            assert image.shape == (1, 3, 32, 32)
            return image.mean(dim=(1, 2, 3))

    scores = PairScorer(landmarker, discriminator=Brightness())(pair[0], pair[1])
    assert scores["artefacts"] == pytest.approx(-float(pair[1].mean()), abs=1e-3)


def test_pairs_of_two_sizes_are_refused(scorer):
    with pytest.raises(ValueError, match="photo and styled must have the same shape"):
        scorer(torch.rand(3, 64, 64), torch.rand(3, 32, 32))


def test_hashes_know_a_photo_again_and_not_its_mirror_image(pair):
    photo = pair[0]
    again = F.interpolate((photo * 0.9)[None], (200, 200), mode="bilinear", antialias=True)[0]
    assert hash_distance(difference_hash(photo), difference_hash(again)) < 24
    assert hash_distance(difference_hash(photo), difference_hash(photo.flip(-1))) > 100


def test_rules_follow_the_middle_half_of_a_set():
    values = torch.linspace(0, 1, 101).tolist()
    rules = SelectRules.learn([{"light": v, "eyes_apart": v} for v in values], reach=1.0)
    assert rules.windows == {"light": (-0.25, 1.25), "eyes_apart": (None, 1.25)}
    even = SelectRules.learn([{"light": 0.5}] * 10)
    assert even.windows == {"light": (0.45, 0.55)}  # However even the set, a little is nothing.
    assert SelectRules.learn([{"light": 0.5}]).windows == {}


def test_a_fifth_of_bad_pairs_does_not_teach_the_rules_to_let_them_pass():
    generator = torch.Generator().manual_seed(0)
    usual = 0.05 + 0.01 * torch.randn(80, generator=generator)
    bad = 0.3 + 0.05 * torch.randn(20, generator=generator)
    scores = [{"faces": 2, "eyes_apart": float(v)} for v in torch.cat([usual, bad])]
    rules = SelectRules.learn(scores)
    rejected = [bool(rules.reasons(score)) for score in scores]
    assert all(rejected[80:])
    assert sum(rejected[:80]) <= 1


def test_rules_survive_json_and_strangers_are_named():
    rules = SelectRules({"light": (0.1, None), "eyes_apart": (None, 0.2)}, duplicate_bits=3)
    assert SelectRules.from_json(rules.to_json()) == rules
    for text in ("[]", "{", '{"windows": {"light": 3}}'):
        with pytest.raises(ValueError, match="These are no rules"):
            SelectRules.from_json(text)
    with pytest.raises(ValueError, match="Rules speak of eyes_apart.*got beauty"):
        SelectRules.from_json('{"windows": {"beauty": [0, 1]}}')


@pytest.fixture(scope="module")
def source(tmp_path_factory, crop, pair):
    """Eight pairs: six good ones of different photos, a blurred one, and the first one again."""
    root = tmp_path_factory.mktemp("source")
    photo, styled, _ = pair
    records = []
    for index in range(8):
        turn = 0 if index == 7 else index
        # The same face before other backgrounds: other photos, as a hash sees them.
        for kind, image in zip(("photo", "styled"), (photo, styled), strict=True):
            drawn = image.clone()
            drawn[:, : 12 * turn] = 0.15 * turn
            drawn[:, :, : 10 * turn] = 0.9 - 0.15 * turn
            broken = index == 6 and kind == "styled"
            write_image(root / kind / f"{index:03d}.png", blur(drawn) if broken else drawn)
        name = f"{index:03d}"
        records.append(PairRecord(f"photo/{name}.png", f"styled/{name}.png", facts={"seed": index}))
    write_pairs(root, records)
    return root


RULES = SelectRules({"sharpness": (-7.5, None), "eyes_apart": (None, 0.1)}, duplicate_bits=12)


def names(records):
    return [record.name for record in records]


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_good_pairs_become_a_set_and_bad_ones_a_list_with_reasons(source, tmp_path, scorer):
    before = files(source)
    kept, rejected, _ = select_pairs(source, tmp_path, scorer, rules=RULES)
    assert names(kept) == [f"{i:03d}" for i in range(6)]
    reasons = {record.name: record.facts["reasons"] for record in rejected}
    assert reasons["006"] == [
        "the styled picture is blurred or rough: sharpness "
        f"{rejected[0].facts['scores']['sharpness']:.3g} < -7.5"
    ]
    assert reasons["007"] == ["the photo is nearly that of 000"]
    assert read_pairs(tmp_path) == kept
    assert kept[2].facts["seed"] == 2
    assert kept[2].facts["scores"]["faces"] == 2
    for record in kept:
        assert (tmp_path / record.photo).read_bytes() == (source / record.photo).read_bytes()
    assert not (tmp_path / "photo" / "006.png").exists()
    assert len(list((tmp_path / "review" / "kept").iterdir())) == 6
    assert files(source) == before


def test_moved_previews_and_lists_have_the_last_word(source, tmp_path, scorer):
    select_pairs(source, tmp_path, scorer, rules=RULES)
    review = tmp_path / "review"
    (review / "rejected" / "006.jpg").rename(review / "kept" / "006.jpg")
    (review / "kept" / "001.jpg").rename(review / "rejected" / "001.jpg")
    kept, rejected, _ = select_pairs(source, tmp_path, scorer, rules=RULES)
    assert names(kept) == ["000", "002", "003", "004", "005", "006"]
    assert {r.name: r.facts["reasons"] for r in rejected}["001"] == ["by hand"]
    assert (tmp_path / "photo" / "006.png").is_file()
    assert not (tmp_path / "photo" / "001.png").exists()
    hand = {"002": "rejected", "001": "kept"}
    kept, _, _ = select_pairs(source, tmp_path, scorer, rules=RULES, hand=hand)
    assert names(kept) == ["000", "001", "003", "004", "005", "006"]  # Earlier moves still stand.
    with pytest.raises(ValueError, match="1 names are no pair's, e.g. 'nobody'"):
        select_pairs(source, tmp_path, scorer, hand={"nobody": "kept"})
    with pytest.raises(ValueError, match="must be one of kept, rejected; got 'maybe'"):
        select_pairs(source, tmp_path, scorer, hand={"001": "maybe"})


def test_a_kill_while_previews_move_is_taken_for_no_ones_hand(source, tmp_path, scorer):
    select_pairs(source, tmp_path, scorer, rules=RULES)
    # As if a run with stricter rules had been killed between its moves and its last word.
    (tmp_path / "decisions.json").unlink()
    review = tmp_path / "review"
    (review / "kept" / "003.jpg").rename(review / "rejected" / "003.jpg")
    kept, _, _ = select_pairs(source, tmp_path, scorer, rules=RULES)
    assert "003" in names(kept)
    assert (review / "kept" / "003.jpg").is_file()


def test_shards_agree_with_one_run_and_nothing_is_measured_twice(source, tmp_path, scorer):
    select_pairs(source, tmp_path / "whole", scorer, rules=RULES)
    assert select_pairs(source, tmp_path / "parts", scorer, rules=RULES, shard=(1, 2)) is None
    assert select_pairs(source, tmp_path / "parts", scorer, rules=RULES, shard=(0, 2)) is not None
    assert files(tmp_path / "whole") == files(tmp_path / "parts")

    class Silent(PairScorer):
        def __call__(self, photo, styled):
            raise AssertionError("measured again")

    again = Silent(scorer.landmarker, distance=scorer.distance)
    select_pairs(source, tmp_path / "whole", again, rules=RULES)


def test_changed_pictures_are_measured_again(source, tmp_path, scorer):
    mine = tmp_path / "mine"
    shutil.copytree(source, mine)
    select_pairs(mine, tmp_path / "out", scorer, rules=RULES)
    image = read_image(mine / "styled" / "002.png")
    write_image(mine / "styled" / "002.png", blur(image))
    kept, _, _ = select_pairs(mine, tmp_path / "out", scorer, rules=RULES)
    assert "002" not in names(kept)


def test_the_set_itself_stays(source, scorer):
    with pytest.raises(ValueError, match="which stays as it is; name another folder"):
        select_pairs(source, source, scorer)


def test_the_command_selects_and_draws_a_sheet(source, tmp_path, capsys):
    (tmp_path / "rules.json").write_text(RULES.to_json())
    (tmp_path / "veto.txt").write_text("001.png\n\n")
    arguments = ["--rules", str(tmp_path / "rules.json"), "--veto", str(tmp_path / "veto.txt")]
    out = tmp_path / "out"
    assert main(["pairs", "select", str(source), "-o", str(out), *arguments]) == 0
    said = capsys.readouterr().out
    assert f"5 pairs kept in {out}, 3 rejected." in said
    assert "1  by hand" in said
    sheet = read_image(out / "sheet.png")
    assert sheet.shape[1] > 192
    assert sheet.std() > 0.1
