"""The command line, in process: results, exit codes, one-sentence errors."""

import json

import pytest
import torch
from PIL import Image

from snowai import checkpoint
from snowai.cli import main
from snowai.image import image_size, read_image, write_image


@pytest.fixture
def photos(tmp_path, astronaut):
    folder = tmp_path / "photos"
    folder.mkdir()
    astronaut.save(folder / "a.jpg")
    Image.new("RGB", (64, 64)).save(folder / "b.png")
    return folder


def test_apply_takes_folders_and_says_who_has_no_face(photos, tmp_path, capsys):
    assert main(["apply", str(photos), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "b.png: no face found; written unchanged" in said
    assert "2 of 2 written" in said
    assert read_image(tmp_path / "out" / "a.png").shape == (3, 512, 512)
    assert read_image(tmp_path / "out" / "b.png").max() == 0


def test_apply_writes_one_photo_to_a_file(photos, tmp_path):
    assert main(["apply", str(photos / "a.jpg"), "-o", str(tmp_path / "toon.webp")]) == 0
    assert (tmp_path / "toon.webp").read_bytes()[8:12] == b"WEBP"


def test_one_bad_photo_does_not_stop_the_others(photos, tmp_path, capsys):
    (photos / "c.jpg").write_text("no photo")
    assert main(["apply", str(photos), "-o", str(tmp_path / "out")]) == 1
    assert "c.jpg is not a readable" in capsys.readouterr().err
    assert (tmp_path / "out" / "a.png").is_file()


def test_two_photos_of_one_name_never_overwrite_each_other(photos, tmp_path, capsys):
    (photos / "b.jpg").write_bytes((photos / "a.jpg").read_bytes())
    assert main(["apply", str(photos), "-o", str(tmp_path / "out")]) == 2
    assert "would both be written to" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["apply", "gone.jpg", "-o", "out", "-f", "gone.safetensors"], "no checkpoint gone"),
        (["apply", "-o", "out"], "Name at least one photo"),
        (["train", "gone", "-o", "out"], "There is no pair set gone"),
        (["pairs", "check", "gone"], "There is no pair set gone"),
        (["pairs", "draw", "gone.jpg", "-o", "out"], "no image file gone.jpg"),
    ],
)
def test_errors_are_one_sentence_without_a_traceback(
    arguments, sentence, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    said = [line for line in error.splitlines() if line.startswith("snowai")]
    assert len(said) == 1


def test_debug_shows_where_it_comes_from():
    with pytest.raises(FileNotFoundError):
        main(["--debug", "pairs", "check", "gone"])


def test_unknown_commands_exit_with_2():
    with pytest.raises(SystemExit) as caught:
        main(["aply"])
    assert caught.value.code == 2


def test_pairs_check_counts(tiny_pairs, capsys):
    assert main(["pairs", "check", str(tiny_pairs)]) == 0
    assert "8 pairs:" in capsys.readouterr().out


def test_models_lists_presets_and_shipped_filters(capsys):
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert "se_unet_base" in said
    assert "Shipped: " in said
    assert "toon" in said


def test_draw_then_train_then_apply_is_the_whole_chain(photos, tmp_path, capsys):
    pairs, run, out = tmp_path / "pairs", tmp_path / "run", tmp_path / "out.png"
    photo = str(photos / "a.jpg")
    assert main(["pairs", "draw", photo, "-o", str(pairs), "--size", "64", "--views", "4"]) == 0
    manifest = pairs / "metadata.jsonl"
    rows = [json.loads(line) | {"split": "train"} for line in manifest.read_text().splitlines()]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    train = ["train", str(pairs), "-o", str(run), "--model", "se_unet_tiny", "--size", "64"]
    train += ["--batch-size", "2"]
    assert main([*train, "--steps", "2"]) == 0
    header = checkpoint.read_header(run / "filter.safetensors")
    assert header.class_name == "FaceFilter"
    assert header.config["size"] == 64
    assert main([*train, "--steps", "2"]) == 2
    assert "pass resume=True" in capsys.readouterr().err
    assert main([*train, "--steps", "3", "--resume"]) == 0
    trained = str(run / "filter.safetensors")
    assert main(["apply", photo, "-f", trained, "-o", str(out)]) == 0
    assert out.is_file()


def test_a_read_only_folder_is_one_sentence(photos, capsys, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    assert main(["apply", str(photos / "a.jpg"), "-o", str(blocked / "out")]) == 2
    assert "snowai apply:" in capsys.readouterr().err


def test_demo_makes_its_picture(tmp_path, capsys, photos):
    out = tmp_path / "demo"
    arguments = ["demo", str(photos / "a.jpg"), "-o", str(out), "--seconds", "1", "--pairs", "4"]
    assert main([*arguments, "--size", "64"]) == 0
    assert {path.name for path in out.iterdir()} >= {
        "base_samples.png",
        "styled_samples.png",
        "blend_sweep.png",
        "pairs.png",
        "comparison.png",
        "filter.safetensors",
        "metrics.jsonl",
    }
    height, width = image_size(out / "comparison.png")
    assert width > 4 * 256
    assert height > 256
    said = capsys.readouterr().out
    assert all(name in said for name in ("comparison", "filter", "metrics"))
    assert not [path for path in out.iterdir() if path.is_dir()]


def test_the_workshop_draws_its_sheets(tmp_path, capsys, photos):
    out = tmp_path / "demo"
    arguments = ["demo", str(photos / "a.jpg"), "-o", str(out), "--workshop", "--pairs", "12"]
    assert main(arguments) == 0
    sheets = [
        "edits",
        "light",
        "iris_light",
        "presets",
        "occluders",
        "selected",
        "retouched",
        "balance",
    ]
    for name in sheets:
        picture = read_image(out / f"workshop_{name}.png")
        assert picture.std() > 0.1, name
    assert "workshop_edits.png" in capsys.readouterr().out
    assert not [path for path in out.iterdir() if path.is_dir()]


@pytest.mark.parametrize("command", ["retouch", "select", "export"])
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, capsys, tiny_pairs, command):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    options = ["--smile", "1"] if command == "retouch" else []
    assert main(["pairs", command, str(tiny_pairs), "-o", str(blocked / "out"), *options]) == 2
    said = capsys.readouterr().err
    assert "snowai pairs:" in said
    assert "blocked" in said
    assert blocked.read_text() == "a file where a folder should be"


def test_demo_without_a_face_is_one_sentence(tmp_path, capsys):
    write_image(tmp_path / "grey.png", torch.full((3, 64, 64), 0.5))
    for option in ([], ["--workshop"]):
        arguments = ["demo", str(tmp_path / "grey.png"), "-o", str(tmp_path / "demo"), *option]
        assert main(arguments) == 2
        assert "No face was found in grey.png" in capsys.readouterr().err
