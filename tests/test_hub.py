"""Networks by name: shipped, in a folder, on the Hub."""

import json

import pytest
import torch

import snowai
from snowai import hub
from snowai.filters import FaceFilter, PhotoFilter
from snowai.hub import from_pretrained, list_shipped, push_to_hub, save_pretrained
from snowai.models import StyleGAN2Generator


def test_folder_round_trip(tmp_path):
    network = snowai.create_model("se_unet_tiny").eval()
    save_pretrained(network, tmp_path / "hub", provenance={"licence": "Apache-2.0"})
    assert {p.name for p in (tmp_path / "hub").iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["class"] == "SEUNet"
    assert "license: apache-2.0" in (tmp_path / "hub" / "README.md").read_text()
    image = torch.rand(1, 4, 32, 32)
    torch.testing.assert_close(from_pretrained(tmp_path / "hub")(image), network(image))


def test_what_is_shipped_loads_and_says_where_it_comes_from():
    from snowai.checkpoint import read_header

    kinds = {
        "portraits": StyleGAN2Generator,
        "portraits-toon": StyleGAN2Generator,
        "toon": FaceFilter,
        "toon-photo": PhotoFilter,
    }
    assert set(list_shipped()) == kinds.keys()
    for name, kind in kinds.items():
        path = hub._shipped_folder() / f"{name}.safetensors"
        assert isinstance(from_pretrained(name), kind)
        assert path.stat().st_size <= 10_000_000
        assert {"data", "licence", "command"} <= read_header(path).provenance.keys()


def test_unknown_names_list_the_shipped_ones():
    with pytest.raises(FileNotFoundError, match=r"not shipped \(.*toon"):
        from_pretrained("carton")


def test_hub_errors_say_what_to_do(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(FileNotFoundError, match=r"'someone/anime'.*pass its path"):
        from_pretrained("someone/anime")


def test_push_uploads_a_whole_folder(monkeypatch):
    import huggingface_hub

    seen = {}

    class Api:
        def __init__(self, token=None):
            seen["token"] = token

        def create_repo(self, repo_id, *, private, exist_ok):
            seen["repo"] = (repo_id, private, exist_ok)

        def upload_folder(self, *, repo_id, folder_path):
            from pathlib import Path

            seen["files"] = sorted(path.name for path in Path(folder_path).iterdir())
            return f"commit to {repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    address = push_to_hub(snowai.create_model("se_unet_tiny"), "me/tiny", token="secret")  # noqa: S106
    assert address == "commit to me/tiny"
    assert seen["repo"] == ("me/tiny", True, True)
    assert seen["files"] == ["README.md", "config.json", "model.safetensors"]
