"""snowai style, convert and pairs render: in process, on tiny generators."""

import json

import pytest
import tiny_style
import torch
from foreign import networks, nvidia, rosinality
from safetensors.torch import load_file

import snowai
from snowai import checkpoint
from snowai.cli import main
from snowai.image import image_size, write_image
from snowai.models import StyleGAN2Discriminator, StyleGAN2Generator
from snowai.styles import BlendRecipe


@pytest.fixture
def base(tmp_path):
    generator, judge = networks(32)
    (tmp_path / "base").mkdir()
    checkpoint.save(generator, tmp_path / "base" / "generator.safetensors")
    checkpoint.save(judge, tmp_path / "base" / "discriminator.safetensors")
    return tmp_path / "base" / "generator.safetensors"


@pytest.fixture
def styled(tmp_path):
    generator, _ = networks(32)
    with torch.no_grad():
        for layer in generator.synthesis.to_rgb:
            layer.bias.add_(0.3)
    checkpoint.save(generator, tmp_path / "styled.safetensors")
    return tmp_path / "styled.safetensors"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for index in range(12):
        write_image(folder / f"{index}.png", torch.rand(3, 40, 48))
    return folder


def test_convert_reads_and_tells_what_it_found(tmp_path, capsys):
    generator, judge = networks()
    torch.save(rosinality(generator, judge), tmp_path / "in.pt")
    out = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "in.pt"), str(out)]) == 0
    said = capsys.readouterr().out
    assert "resolution    32" in said
    assert "discriminator read" in said
    z = torch.randn(1, 16)
    torch.testing.assert_close(snowai.from_pretrained(out)(z), generator(z))
    beside = tmp_path / "out-discriminator.safetensors"
    assert isinstance(snowai.from_pretrained(beside), StyleGAN2Discriminator)
    facts = checkpoint.read_header(out).provenance
    assert facts["converted from"] == "in.pt"
    assert len(facts["sha256"]) == 64


def test_convert_halves_when_asked(tmp_path):
    generator, judge = networks()
    path = nvidia(generator, judge, tmp_path / "in.pkl")
    assert main(["convert", str(path), str(tmp_path / "out.safetensors"), "--half"]) == 0
    kept = load_file(tmp_path / "out.safetensors")
    assert {weight.dtype for weight in kept.values()} == {torch.float16}


def test_convert_refuses_in_one_sentence(tmp_path, capsys):
    (tmp_path / "in.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert main(["convert", str(tmp_path / "in.pkl"), str(tmp_path / "out.safetensors")]) == 2
    said = capsys.readouterr().err
    assert "in.pkl is refused: it asks for os.system" in said
    assert not (tmp_path / "out.safetensors").exists()


SHORT = ["--images", "8", "--batch-size", "4", "--snapshot-every", "8"]


def test_train_from_scratch_and_resume(tmp_path, pictures, capsys):
    scratch = ["style", "train", str(pictures), "-o", str(tmp_path / "run"), "--resolution", "16"]
    scratch += ["--channel-base", "128", "--latent-size", "8", "--mapping-layers", "2"]
    assert main([*scratch, *SHORT]) == 0
    said = capsys.readouterr().out
    assert "12 pictures of 16 pixels" in said
    assert "conv 16" in said
    trained = snowai.from_pretrained(tmp_path / "run" / "generator.safetensors")
    assert (trained.resolution, trained.z_dim) == (16, 8)
    assert main([*scratch, *SHORT]) == 2
    assert "pass resume=True" in capsys.readouterr().err
    longer = [*SHORT, "--images", "16", "--resume"]
    assert main([*scratch, *longer[2:]]) == 0


def test_train_from_a_base_uses_its_discriminator_and_grows(tmp_path, base, pictures):
    arguments = ["style", "train", str(base), str(pictures)]
    assert main([*arguments, "-o", str(tmp_path / "same"), *SHORT, "--freeze-d", "1"]) == 0
    before = snowai.from_pretrained(base.with_name("discriminator.safetensors"))
    after = snowai.from_pretrained(tmp_path / "same" / "discriminator.safetensors")
    assert torch.equal(before.from_rgb.weight, after.from_rgb.weight)
    large = [*arguments, "-o", str(tmp_path / "large"), *SHORT, "--resolution", "64"]
    assert main(large) == 0
    assert snowai.from_pretrained(tmp_path / "large" / "generator.safetensors").resolution == 64


def test_train_with_a_source_loss(tmp_path, base, pictures):
    arguments = ["style", "train", str(base), str(pictures), "-o", str(tmp_path / "run"), *SHORT]
    assert main([*arguments, "--source.perceptual", "0.5", "--source.structure", "0.5"]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert {"perceptual", "structure"} <= json.loads(lines[0]).keys()


def test_train_says_what_is_wrong(tmp_path, base, capsys):
    (tmp_path / "three").mkdir()
    for index in range(3):
        write_image(tmp_path / "three" / f"{index}.png", torch.rand(3, 40, 40))
    arguments = ["style", "train", str(base), str(tmp_path / "three"), "-o", str(tmp_path / "x")]
    assert main(arguments) == 2
    assert "holds 3 pictures; a style needs at least 10" in capsys.readouterr().err
    assert main(["style", "train", "a", "b", "c", "-o", "x"]) == 2
    assert "Name a base and a folder" in capsys.readouterr().err
    assert main(["style", "train", "toon", str(tmp_path / "three"), "-o", "x"]) == 2
    assert "holds a FaceFilter, not a StyleGAN2Generator" in capsys.readouterr().err
    odd = ["style", "train", str(base), str(tmp_path / "three"), "-o", "x", "--resolution", "128"]
    assert main(odd) == 2
    assert "draws 32 pixels; resolution may be that, or twice it" in capsys.readouterr().err


def test_blend_draws_a_sheet_and_then_a_generator(tmp_path, base, styled, capsys):
    pair = ["style", "blend", str(base), str(styled)]
    assert main([*pair, "-o", str(tmp_path / "sweep.png"), "--seeds", "2"]) == 0
    # Base, cuts at 8, 16, 32, a soft cut, styled: six columns of 32 pixels and gaps of 4.
    assert image_size(tmp_path / "sweep.png")[1] == 6 * 36 - 4
    out = tmp_path / "blend.safetensors"
    assert main([*pair, "-o", str(out), "--cut", "16"]) == 0
    recipe = BlendRecipe.from_json((tmp_path / "blend.json").read_text())
    assert recipe == BlendRecipe.hard(16, resolution=32)
    assert json.loads(checkpoint.read_header(out).provenance["blend"])["name"] == "hard 16"
    soft = tmp_path / "soft.safetensors"
    assert main([*pair, "-o", str(soft), "--cut", "16", "--width", "0.5"]) == 0
    again = tmp_path / "again.safetensors"
    recipe_file = ["--recipe", str(tmp_path / "soft.json")]
    assert main([*pair, "-o", str(again), *recipe_file]) == 0
    one, two = load_file(soft), load_file(again)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert main([*pair, "-o", str(out), "--cut", "64"]) == 2
    assert "works at [4, 8, 16, 32]; it has no 64" in capsys.readouterr().err


def test_sample_and_score(tmp_path, base, pictures, capsys):
    assert main(["style", "sample", str(base), "-o", str(tmp_path / "s.png"), "--count", "10"]) == 0
    assert image_size(tmp_path / "s.png") == (32 * 2 + 4, 8 * 36 - 4)
    assert main(["style", "score", str(base), str(pictures)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2].startswith("generator")
    assert float(said[-2].split()[-1]) > float(said[-1].split()[-1]) > 0


def test_invert_then_grow_then_render(tmp_path, base, styled, astronaut, capsys):
    (tmp_path / "photos").mkdir()
    astronaut.save(tmp_path / "photos" / "a.png")
    write_image(tmp_path / "photos" / "wall.png", torch.full((3, 64, 64), 0.5))
    found = tmp_path / "found"
    arguments = [str(base), str(tmp_path / "photos"), "-o", str(found), "--steps", "3"]
    assert main(["style", "invert", *arguments]) == 0
    said = capsys.readouterr().out
    assert "wall.png: no face found" in said
    assert "1 photos inverted" in said
    latents = tmp_path / "latents.safetensors"
    assert main(["style", "grow", str(base), str(found), "-o", str(latents), "--count", "3"]) == 0
    assert load_file(latents)["ws"].shape == (3, 8, 16)
    out = ["-o", str(tmp_path / "pairs"), "--count", "3", "--latents", str(latents)]
    assert main(["pairs", "render", str(base), str(styled), *out]) == 0
    assert main(["pairs", "check", str(tmp_path / "pairs")]) == 0
    assert main(["style", "grow", str(base), str(tmp_path), "-o", str(latents)]) == 2


def test_a_direction_is_fitted_drawn_and_rendered(tmp_path, base, styled, monkeypatch, capsys):
    import snowai.styles

    def brightness(generator, ws, landmarker, score, *, size):
        with torch.no_grad():
            return generator.synthesis(ws).mean(dim=(1, 2, 3))

    # Random networks draw no faces: what is measured is replaced, all around it is real.
    monkeypatch.setattr(snowai.styles, "score_samples", brightness)
    out = tmp_path / "smile.json"
    arguments = [str(base), "smile", "-o", str(out), "--samples", "200", "--reach", "0.2"]
    assert main(["style", "direction", *arguments, "--layers", "0", "1"]) == 0
    assert "fitted on 200 of 200 faces" in capsys.readouterr().out
    assert image_size(tmp_path / "smile.png")[1] == 5 * 36 - 4
    sets = tmp_path / "pairs"
    pair = ["pairs", "render", str(base), str(styled), "-o", str(sets), "--count", "3"]
    assert main([*pair, "--edits", str(out)]) == 0
    records = snowai.pairs.read_pairs(sets)
    assert all(-0.2 <= record.facts["edits"]["smile"] <= 0.2 for record in records)
    assert json.loads((sets / "render.json").read_text())["edits"][0]["layers"] == [0, 1]
    out.write_text("{}")
    assert main([*pair, "--edits", str(out)]) == 2
    assert "An edit is JSON with name" in capsys.readouterr().err


def test_render_in_shards_and_rerender(tmp_path, base, styled, capsys):
    out = ["-o", str(tmp_path / "pairs"), "--count", "4", "--cut", "16", "--noise", "random"]
    for shard in ("0/2", "1/2"):
        arguments = ["pairs", "render", str(base), str(styled), *out, "--shard", shard]
        assert main(arguments) == 0
    path = tmp_path / "pairs" / "styled" / "0-000002.png"
    kept = path.read_bytes()
    path.write_bytes(b"lost")
    assert main(["pairs", "rerender", str(tmp_path / "pairs"), "0-000002"]) == 0
    assert path.read_bytes() == kept
    elsewhere = ["-o", str(tmp_path / "again")]
    assert main(["pairs", "rerender", str(tmp_path / "pairs"), "0-000001", *elsewhere]) == 0
    again = tmp_path / "again" / "photo" / "0-000001.png"
    assert again.read_bytes() == (tmp_path / "pairs" / "photo" / "0-000001.png").read_bytes()
    wrong = ["pairs", "render", str(base), str(styled), *out, "--shard", "2/2"]
    assert main(wrong) == 2
    assert "shard must be i/N" in capsys.readouterr().err
    both = ["--recipe", str(tmp_path / "x.json")]
    assert main(["pairs", "render", str(base), str(styled), *out, *both]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_the_tiny_base_is_a_generator():
    assert isinstance(tiny_style.generator(), StyleGAN2Generator)
