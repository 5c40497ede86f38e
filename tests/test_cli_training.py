"""snowai train and snowai apply for clips and whole photos."""

import json

import moving
import pytest

from snowai import checkpoint
from snowai.cli import main
from snowai.cli.training import preset_in
from snowai.filters import PhotoFilter
from snowai.image import image_size
from snowai.models import EditNet
from snowai.train import PRESETS


@pytest.fixture
def pairs(tmp_path, astronaut):
    root = tmp_path / "pairs"
    astronaut.save(tmp_path / "a.jpg")
    draw = ["pairs", "draw", str(tmp_path / "a.jpg"), "-o", str(root)]
    assert main([*draw, "--size", "64", "--views", "4"]) == 0
    manifest = root / "metadata.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows = [
        row | {"split": split}
        for row, split in zip(rows, ("train", "train", "train", "val"), strict=True)
    ]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    return root


TINY = ["--model", "se_unet_tiny", "--size", "64", "--batch-size", "2"]


def test_a_dry_run_tells_memory_speed_and_time_and_writes_nothing(pairs, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", str(pairs), "-o", str(out), *TINY, "--steps", "1000", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "GB at most" in said
    assert "steps a second at first" in said
    assert "min in all" in said
    assert not out.exists()


def test_a_preset_is_where_the_options_begin(pairs, tmp_path):
    out = tmp_path / "run"
    train = ["train", str(pairs), "-o", str(out), *TINY, "--steps", "2"]
    assert main([*train, "--preset", "fast", "--weights.eyes", "0"]) == 0
    kept = json.loads((out / "config.json").read_text())
    assert kept["weights"]["structure"] == PRESETS["fast"].weights.structure
    assert kept["weights"]["adversarial"] == 0
    assert kept["weights"]["eyes"] == 0
    assert kept["steps"] == 2
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert "validation_perceptual" in rows[-1]
    assert checkpoint.read_header(out / "best.safetensors").provenance["steps"] == 2


def test_presets_are_found_however_they_are_written():
    assert preset_in(["train", "x", "--preset", "fran"]) == "fran"
    assert preset_in(["train", "--preset=fast"]) == "fast"
    assert not preset_in(["train", "--preset"])
    assert not preset_in(["train", "x"])


def test_frames_and_faces_make_a_filter_for_whole_photos(pairs, tmp_path, capsys):
    frames = tmp_path / "frames"
    draw = ["pairs", "draw", str(tmp_path / "a.jpg"), "-o", str(frames), "--frames"]
    assert main([*draw, "--size", "64", "--views", "2"]) == 0
    for line in (frames / "metadata.jsonl").read_text().splitlines():
        assert json.loads(line)["photo_file_name"].startswith("photo/a-frame-00")
    out = tmp_path / "run"
    train = ["train", str(pairs), str(frames), "-o", str(out), "--size", "64", "--cache"]
    train += ["--model", "edit_base", "--batch-size", "1", "--steps", "1", "--preset", "fast"]
    assert main(train) == 0
    assert (out / "pairs-train-64.cache").stat().st_size == 3 * 7 * 64 * 64
    trained = str(out / "filter.safetensors")
    assert isinstance(PhotoFilter.from_pretrained(trained).network, EditNet)
    photo = str(tmp_path / "a.jpg")
    assert main(["apply", photo, "-f", trained, "-o", str(tmp_path / "new.png")]) == 0
    assert image_size(tmp_path / "new.png") == (512, 512)


def test_a_set_without_training_pairs_is_refused(pairs, tmp_path, capsys):
    manifest = pairs / "metadata.jsonl"
    manifest.write_text(manifest.read_text().replace('"train"', '"test"'))
    assert main(["train", str(pairs), "-o", str(tmp_path / "run"), *TINY]) == 2
    assert "None of the sets has training pairs" in capsys.readouterr().err
    assert main(["train", "-o", str(tmp_path / "run"), *TINY]) == 2
    assert "Name at least one pair set" in capsys.readouterr().err


def test_apply_filters_clips(tmp_path, astronaut, capsys):
    clip = moving.write_clip(tmp_path / "clip.mov", moving.moving_frames(astronaut, count=5))
    assert main(["apply", str(clip), "-o", str(tmp_path / "out")]) == 0
    assert "a face in 5 of 5 frames" in capsys.readouterr().out
    assert len(moving.read_clip(tmp_path / "out" / "clip.mp4")[0]) == 5


def test_apply_refuses_what_is_no_filter_and_photo_filters_for_clips(tmp_path, astronaut, capsys):
    checkpoint.save(EditNet(widths=(8, 8), blocks=1), tmp_path / "net.safetensors")
    astronaut.save(tmp_path / "a.jpg")
    apply = ["apply", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "out"), "-f"]
    assert main([*apply, str(tmp_path / "net.safetensors")]) == 2
    assert "holds a EditNet, not a filter" in capsys.readouterr().err
    photo_filter = PhotoFilter(EditNet(widths=(8, 8), blocks=1))
    checkpoint.save(photo_filter, tmp_path / "photo.safetensors")
    clip = moving.write_clip(tmp_path / "clip.mp4", moving.moving_frames(astronaut, count=2))
    apply = ["apply", str(clip), "-o", str(tmp_path / "out"), "-f"]
    assert main([*apply, str(tmp_path / "photo.safetensors")]) == 2
    assert "frame by frame it would be slow and flicker" in capsys.readouterr().err
