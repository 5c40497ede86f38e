"""Interchange: WebDataset shards there and back, and Hugging Face's imagefolder as we are."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest

from snowai.cli import main
from snowai.image import read_image, to_array
from snowai.pairs import PairRecord, export_shards, import_shards, read_pairs, write_pairs


def files(root, suffixes=(".png", ".jsonl")):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in suffixes
    }


def test_a_set_comes_back_byte_by_byte(tiny_pairs, tmp_path):
    shards = export_shards(tiny_pairs, tmp_path / "shards", per_shard=3)
    assert [path.name for path in shards] == [f"pairs-00000{i}.tar" for i in range(3)]
    records = import_shards([tmp_path / "shards"], tmp_path / "back")
    assert records == read_pairs(tiny_pairs)
    assert files(tmp_path / "back") == files(tiny_pairs)


def test_the_same_set_gives_the_same_shards_and_a_killed_export_goes_on(tiny_pairs, tmp_path):
    first = export_shards(tiny_pairs, tmp_path / "a", per_shard=4)
    second = export_shards(tiny_pairs, tmp_path / "b", per_shard=4)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    second[1].unlink()
    kept = second[0].stat().st_mtime_ns
    export_shards(tiny_pairs, tmp_path / "b", per_shard=4)
    assert second[0].stat().st_mtime_ns == kept
    assert second[1].read_bytes() == first[1].read_bytes()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_webdataset_itself_reads_our_shards(tiny_pairs, tmp_path):
    import webdataset

    shards = export_shards(tiny_pairs, tmp_path, per_shard=5)
    stream = webdataset.WebDataset([str(path) for path in shards], shardshuffle=False)
    samples = list(stream.decode("rgb8"))
    assert len(samples) == 8
    row = samples[3]["json"]
    assert samples[3]["photo.png"].shape == (64, 64, 3)
    photo = to_array(read_image(tiny_pairs / row["photo_file_name"]))
    assert (samples[3]["photo.png"] == photo).all()


def test_names_with_dots_survive(tiny_pairs, tmp_path):
    mine, records = tmp_path / "mine", []
    for index, record in enumerate(read_pairs(tiny_pairs)[:2]):
        new = PairRecord(f"photo/v1.{index}.png", f"styled/v1.{index}.png")
        for path, target in ((record.photo, new.photo), (record.styled, new.styled)):
            (mine / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tiny_pairs / path, mine / target)
        records.append(new)
    write_pairs(mine, records)
    export_shards(mine, tmp_path / "shards")
    assert import_shards([tmp_path / "shards"], tmp_path / "back") == records


def tar_of(path, row, *, without=()):
    """Write a shard of one sample whose manifest line is ``row``."""
    members = {
        "0.photo.png": b"photo",
        "0.styled.png": b"styled",
        "0.json": json.dumps(row).encode(),
    }
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            if name in without:
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"photo_file_name": "../../evil.png", "styled_file_name": "styled/a.png"},
        {"photo_file_name": "/evil.png", "styled_file_name": "styled/a.png"},
        {"photo_file_name": "photo/../../evil.png", "styled_file_name": "styled/a.png"},
        {"photo_file_name": "photo/evil.py", "styled_file_name": "styled/a.png"},
        {"styled_file_name": "styled/a.png"},
        {"photo_file_name": 3, "styled_file_name": "styled/a.png"},
        {"photo_file_name": "photo/a.png", "styled_file_name": "styled/a.png", "split": "x"},
        ["no", "row"],
    ],
)
def test_a_strange_sample_is_named_and_nothing_is_written(tmp_path, row):
    shard = tar_of(tmp_path / "bad.tar", row)
    with pytest.raises(ValueError, match="bad.tar, sample 0, is no pair"):
        import_shards([shard], tmp_path / "out" / "set")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.tar"]


def test_a_sample_without_its_picture_and_a_file_that_is_no_tar_are_named(tmp_path):
    row = {"photo_file_name": "photo/a.png", "styled_file_name": "styled/a.png"}
    shard = tar_of(tmp_path / "half.tar", row, without=["0.styled.png"])
    with pytest.raises(ValueError, match="half.tar, sample 0, is no pair"):
        import_shards([shard], tmp_path / "out")
    (tmp_path / "text.tar").write_text("no tar at all")
    with pytest.raises(ValueError, match="text.tar is no tar file of pairs"):
        import_shards([tmp_path / "text.tar"], tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="There is no shard"):
        import_shards(["pipe:touch evil"], tmp_path / "out")
    with pytest.raises(ValueError, match="per_shard must be at least 1"):
        export_shards(tmp_path, tmp_path, per_shard=0)


def test_the_commands_go_there_and_back(tiny_pairs, tmp_path, capsys):
    shards, back = tmp_path / "shards", tmp_path / "back"
    assert main(["pairs", "export", str(tiny_pairs), "-o", str(shards), "--per-shard", "4"]) == 0
    assert main(["pairs", "import", str(shards), "-o", str(back)]) == 0
    said = capsys.readouterr().out
    assert f"2 shards in {shards}." in said
    assert f"8 pairs in {back}." in said
    assert files(back) == files(tiny_pairs)


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_hugging_faces_imagefolder_loads_our_set_unchanged(tiny_pairs, tmp_path):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tiny_pairs), cache_dir=str(tmp_path), split="train"
    )
    records = read_pairs(tiny_pairs)
    assert len(loaded) == len(records)
    assert {"photo", "styled", "source"} <= set(loaded.column_names)
    by_bytes = {to_array(read_image(tiny_pairs / r.photo)).tobytes(): r for r in records}
    for row in loaded:
        record = by_bytes[np.asarray(row["photo"].convert("RGB")).tobytes()]
        styled = np.asarray(row["styled"].convert("RGB"))
        assert (styled == to_array(read_image(tiny_pairs / record.styled))).all()
