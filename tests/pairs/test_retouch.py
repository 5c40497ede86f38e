"""Retouching: both pictures move, only the styled one is lit, and a kill loses nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from snowai.cli import main
from snowai.faces import eye_openness
from snowai.image import read_image, write_image
from snowai.pairs import (
    GEOMETRY,
    LIGHT,
    PairRecord,
    Retouch,
    RetouchRecipe,
    check_pairs,
    read_pairs,
    retouch_pair,
    retouch_pairs,
    toon,
    write_pairs,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory, crop):
    """Four pairs: three of the astronaut, one without a face."""
    root = tmp_path_factory.mktemp("source")
    image, face = crop
    styled = toon(image, face.points[None], scheme=face.scheme)
    records = []
    for index in range(4):
        name = f"{index:03d}"
        grey = torch.full((3, 256, 256), 0.5)
        write_image(root / "photo" / f"{name}.png", grey if index == 3 else image[0])
        write_image(root / "styled" / f"{name}.png", grey if index == 3 else styled[0])
        facts = {"seed": index}
        records.append(PairRecord(f"photo/{name}.png", f"styled/{name}.png", "train", facts))
    write_pairs(root, records)
    return root


COMMAND = "import sys; from snowai.cli import main; sys.exit(main(sys.argv[1:]))"
RECIPE = RetouchRecipe((Retouch("close_eyes"), Retouch("iris_light", 0.5, 0.9, 0.5)), seed=3)


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_both_pictures_close_their_eyes(source, tmp_path, landmarker):
    records = retouch_pairs(source, tmp_path / "out", RECIPE, landmarker)
    check_pairs(tmp_path / "out", records)
    assert [record.facts["seed"] for record in records] == [0, 1, 2, 3]
    for record in records[:3]:
        assert record.facts["retouch"][0]["edit"] == "close_eyes"
        for kind in ("photo", "styled"):
            before = landmarker.detect(read_image(source / getattr(record, kind)))[0]
            after = landmarker.detect(read_image(tmp_path / "out" / getattr(record, kind)))[0]
            open_before = eye_openness(before.points[None], scheme=before.scheme).mean()
            open_after = eye_openness(after.points[None], scheme=after.scheme).mean()
            assert open_after < 0.45 * open_before, (record.name, kind)
    assert records[3].facts["retouch"] == []
    assert records[3].facts["retouch_note"] == "no face was found"
    assert read_pairs(tmp_path / "out") == records


def test_the_source_stays_and_shards_agree(source, tmp_path, landmarker):
    before = contents(source)
    retouch_pairs(source, tmp_path / "whole", RECIPE, landmarker)
    for shard in (1, 0):
        retouch_pairs(source, tmp_path / "parts", RECIPE, landmarker, shard=(shard, 2))
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    assert contents(source) == before


def test_light_falls_on_the_styled_picture_alone(crop):
    image, face = crop
    edits = [{"edit": name, "amount": 0.8, "options": {}} for name in LIGHT]
    photo, styled, done = retouch_pair(image[0], image[0], (face, face), edits)
    assert torch.equal(photo, image[0])
    assert (styled - image[0]).abs().max() > 0.2
    assert [edit["edit"] for edit in done] == list(LIGHT)


def test_every_geometry_moves_both(crop):
    image, face = crop
    for name in GEOMETRY:
        options = {"angle": 20.0} if name == "shift_gaze" else {}
        edits = [{"edit": name, "amount": 0.8, "options": options}]
        photo, styled, _ = retouch_pair(image[0], image[0], (face, face), edits)
        assert torch.equal(photo, styled)
        assert (photo - image[0]).abs().max() > 0.05, name


def test_closed_eyes_are_not_closed_again(crop):
    image, face = crop
    edits = [{"edit": "close_eyes", "amount": 1.0, "options": {}}]
    photo, _, done = retouch_pair(image[0], image[0], (face, face), edits * 2)
    once, _, _ = retouch_pair(image[0], image[0], (face, face), edits)
    assert len(done) == 1
    assert torch.equal(photo, once)


def test_shares_are_met_and_names_decide():
    recipe = RetouchRecipe((Retouch("close_eyes", share=0.1), Retouch("smile", -1, 1, 0.3)), 5)
    names = [f"{index:05d}" for index in range(4000)]
    drawn = {name: recipe.draw(name) for name in names}
    closed = sum(any(e["edit"] == "close_eyes" for e in edits) for edits in drawn.values())
    smiles = [e["amount"] for edits in drawn.values() for e in edits if e["edit"] == "smile"]
    assert abs(closed / 4000 - 0.1) < 0.02
    assert abs(len(smiles) / 4000 - 0.3) < 0.03
    assert min(smiles) < -0.9
    assert max(smiles) > 0.9
    assert all(recipe.draw(name) == drawn[name] for name in reversed(names[:50]))
    # Another edit at the end does not change which pairs smile.
    more = RetouchRecipe((*recipe.edits, Retouch("relight", 0, 1, 0.5)), 5)
    assert all([e for e in more.draw(n) if e["edit"] != "relight"] == drawn[n] for n in names[:50])


def test_kill_9_loses_nothing(source, tmp_path, landmarker):
    shutil.copytree(source, tmp_path / "source")
    for index in range(4, 24):
        for kind in ("photo", "styled"):
            folder = tmp_path / "source" / kind
            shutil.copy(folder / "000.png", folder / f"{index:03d}.png")
    (tmp_path / "source" / "metadata.jsonl").unlink()
    (tmp_path / "recipe.json").write_text(RECIPE.to_json())
    out = tmp_path / "out"
    arguments = ["pairs", "retouch", str(tmp_path / "source"), "-o", str(out)]
    arguments += ["--recipe", str(tmp_path / "recipe.json")]
    process = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments])
    while len(list(out.glob("facts/*.json"))) < 3:
        time.sleep(0.05)
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("facts/*.json")}
    assert not (out / "metadata.jsonl").exists()
    assert main(arguments) == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    retouch_pairs(tmp_path / "source", tmp_path / "whole", RECIPE, landmarker)
    done = {name: data for name, data in contents(out).items() if "/." not in name}
    assert done == contents(tmp_path / "whole")


def test_what_is_wrong_is_said(source, tmp_path, landmarker, capsys):
    with pytest.raises(ValueError, match="is the set itself"):
        retouch_pairs(source, source, RECIPE, landmarker)
    retouch_pairs(source, tmp_path / "out", RECIPE, landmarker)
    other = RetouchRecipe((Retouch("smile"),))
    with pytest.raises(ValueError, match="holds pairs of another recipe"):
        retouch_pairs(source, tmp_path / "out", other, landmarker)
    with pytest.raises(ValueError, match="low <= high"):
        Retouch("smile", 0.5, 0.2)
    with pytest.raises(ValueError, match="share must be in"):
        Retouch("smile", share=2.0)
    for text in ("{", "[]", '{"edits": [{"edt": "smile"}]}'):
        with pytest.raises(ValueError, match="no retouch recipe"):
            RetouchRecipe.from_json(text)
    with pytest.raises(ValueError, match="edit must be one of"):
        RetouchRecipe.from_json(json.dumps({"edits": [{"edit": "grow_beard"}]}))
    assert main(["pairs", "retouch", str(source), "-o", str(tmp_path / "new")]) == 2
    assert "There is nothing to do" in capsys.readouterr().err


def test_the_command_retouches_by_shares(source, tmp_path, capsys):
    arguments = ["pairs", "retouch", str(source), "-o", str(tmp_path / "new")]
    assert main([*arguments, "--close-eyes", "1", "--smile", "1"]) == 0
    assert "4 pairs in" in capsys.readouterr().out
    records = read_pairs(tmp_path / "new")
    assert [edit["edit"] for edit in records[0].facts["retouch"]] == ["smile", "close_eyes"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Retouch("relight", -0.5, 1.0), r"relight at -0.5, {}: amount must be in \[0, 1\]"),
        (Retouch("iris_light", options={"shape": "star"}), "iris_light at 1.0.*shape must be one"),
        (Retouch("smile", options={"width": 1}), "smile at 1.0.*unexpected keyword"),
    ],
)
def test_a_wrong_amount_ends_the_run_before_it_begins(source, tmp_path, landmarker, edit, words):
    recipe = RetouchRecipe((Retouch("close_eyes"), edit))
    with pytest.raises(ValueError, match=words):
        retouch_pairs(source, tmp_path / "out", recipe, landmarker)
    assert not (tmp_path / "out").exists()
