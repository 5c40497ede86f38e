"""Rendering: an index is an address, two pictures share latent and noise, a kill loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
from foreign import networks
from safetensors.torch import save_file

import snowai
from snowai import checkpoint
from snowai.image import read_image
from snowai.pairs import (
    Edit,
    PairDataset,
    PairRenderer,
    RenderPlan,
    render_pairs,
    rerender_pair,
    run_with_ray,
    shard_from_environment,
)
from snowai.styles import BlendRecipe


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A base, and a styled generator that draws the same faces in other colours."""
    folder = tmp_path_factory.mktemp("generators")
    base, _ = networks(32)
    styled, _ = networks(32)
    with torch.no_grad():
        for layer in styled.synthesis.to_rgb:
            layer.bias.add_(torch.tensor([0.4, -0.2, 0.1]))
    checkpoint.save(base, folder / "base.safetensors")
    checkpoint.save(styled, folder / "styled.safetensors")
    return folder


def plan(files, **changes):
    return RenderPlan(
        **(
            {
                "base": str(files / "base.safetensors"),
                "styled": str(files / "styled.safetensors"),
                "count": 6,
                "seed": 3,
            }
            | changes
        )
    )


def bytes_of(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "render.json"
    }


def test_a_set_is_the_same_in_any_order_and_number_of_shards(files, tmp_path):
    render_pairs(plan(files), tmp_path / "one")
    for number in (2, 0, 1):
        manifest = tmp_path / "three" / "metadata.jsonl"
        assert not manifest.exists()
        render_pairs(plan(files), tmp_path / "three", shard=(number, 3))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "three")
    assert len(PairDataset(tmp_path / "one", split=None)) == 6


def test_a_larger_set_begins_with_the_smaller_one(files, tmp_path):
    render_pairs(plan(files, count=3), tmp_path)
    before = bytes_of(tmp_path)
    render_pairs(plan(files, count=5), tmp_path)
    after = bytes_of(tmp_path)
    images = [name for name in before if name.endswith(".png")]
    assert len(images) == 6
    assert all(after[name] == before[name] for name in images)


def test_a_pair_can_be_rendered_again_byte_by_byte(files, tmp_path):
    directions = (Edit("tilt", [0.5] * 16, -1.0, 1.0, layers=[0, 1]),)
    for number, changes in enumerate(
        (
            {},
            {"noise": "random"},
            {"noise": "none", "colour_layers": 3},
            {"edits": directions, "size": 48},
            {"blend": BlendRecipe.sigmoid(16, resolution=32)},
        )
    ):
        root = tmp_path / str(number)
        records = render_pairs(plan(files, count=2, **changes), root)
        name = records[1].name
        photo, styled = rerender_pair(root, name)
        for kind, image in (("photo", photo), ("styled", styled)):
            path = root / kind / f"{name}.png"
            kept = path.read_bytes()
            snowai.write_image(path, image)
            assert path.read_bytes() == kept


def test_both_pictures_share_latent_and_noise(files):
    for noise in ("const", "random", "none"):
        same = plan(files, styled=str(files / "base.safetensors"), noise=noise)
        photo, styled = PairRenderer(same)(4)
        assert torch.equal(photo, styled), noise


def test_random_noise_differs_between_pairs(files):
    renderer = PairRenderer(plan(files, noise="random", truncation=0.0))
    assert not torch.equal(renderer(0)[0], renderer(1)[0])


def test_the_styled_mapping_is_never_asked(files, tmp_path):
    styled = snowai.from_pretrained(files / "styled.safetensors")
    with torch.no_grad():
        for weight in styled.mapping.state_dict().values():
            weight.mul_(-3)
    checkpoint.save(styled, tmp_path / "other.safetensors")
    one = PairRenderer(plan(files))(0)
    two = PairRenderer(plan(files, styled=str(tmp_path / "other.safetensors")))(0)
    assert torch.equal(one[1], two[1])


def test_the_styled_generators_own_noise_is_not_used(files, tmp_path):
    styled = snowai.from_pretrained(files / "styled.safetensors")
    for layer in styled.synthesis.layers:
        layer.noise_const.normal_()
    checkpoint.save(styled, tmp_path / "noisy.safetensors")
    one = PairRenderer(plan(files))(0)
    two = PairRenderer(plan(files, styled=str(tmp_path / "noisy.safetensors")))(0)
    assert torch.equal(one[1], two[1])


def test_colours_may_come_from_a_second_latent(files):
    plain, mixed = PairRenderer(plan(files)), PairRenderer(plan(files, colour_layers=2))
    assert not torch.equal(plain(0)[0], mixed(0)[0])
    torch.testing.assert_close(mixed._draw(0)[0][:, :-2], plain._draw(0)[0][:, :-2])


def test_edits_are_drawn_within_their_range_and_written_down(files, tmp_path):
    edit = Edit("smile", [1.0] * 16, 0.2, 0.4, layers=[2])
    records = render_pairs(plan(files, edits=(edit,), count=20), tmp_path)
    amounts = [record.facts["edits"]["smile"] for record in records]
    assert all(0.2 <= amount <= 0.4 for amount in amounts)
    assert len(set(amounts)) == 20
    renderer = PairRenderer(plan(files, edits=(edit,)))
    plain = PairRenderer(plan(files))
    moved = renderer._draw(7)[0] - plain._draw(7)[0]
    assert float(moved[0, 2, 0]) == pytest.approx(amounts[7], abs=1e-5)
    assert moved[:, [0, 1, 3, 4, 5, 6, 7]].abs().sum() == 0


def test_given_latents_replace_random_ones(files, tmp_path):
    ws = torch.randn(2, 8, 16)
    save_file({"ws": ws}, tmp_path / "ws.safetensors")
    renderer = PairRenderer(plan(files, latents=str(tmp_path / "ws.safetensors")))
    assert torch.equal(renderer._draw(3)[0][0], ws[1])


def test_another_plan_in_the_same_folder_is_refused(files, tmp_path):
    render_pairs(plan(files, count=2), tmp_path)
    with pytest.raises(ValueError, match=r"holds pairs of another plan \(truncation differ\)"):
        render_pairs(plan(files, count=2, truncation=0.5), tmp_path)


def test_changed_and_missing_checkpoints_are_named(files, tmp_path):
    checkpoint.save(networks(32)[0], tmp_path / "base.safetensors")
    moving = plan(files, base=str(tmp_path / "base.safetensors"), count=2)
    records = render_pairs(moving, tmp_path / "set")
    name = records[0].name
    (tmp_path / "base.safetensors").rename(tmp_path / "moved.safetensors")
    with pytest.raises(FileNotFoundError, match=r"base.safetensors"):
        rerender_pair(tmp_path / "set", name)
    assert rerender_pair(tmp_path / "set", name, base=tmp_path / "moved.safetensors")
    with pytest.raises(ValueError, match="is not the checkpoint that"):
        rerender_pair(tmp_path / "set", name, base=files / "styled.safetensors")
    with pytest.raises(ValueError, match="has no pair 'x'"):
        rerender_pair(tmp_path / "set", "x")


def test_misfits_are_refused(files, tmp_path, tiny_pairs):
    with pytest.raises(ValueError, match="holds a StyleGAN2Discriminator, not a StyleGAN2Gen"):
        checkpoint.save(networks(32)[1], tmp_path / "judge.safetensors")
        PairRenderer(plan(files, base=str(tmp_path / "judge.safetensors")))
    checkpoint.save(networks(64)[0], tmp_path / "large.safetensors")
    with pytest.raises(ValueError, match="they are not of one family"):
        PairRenderer(plan(files, styled=str(tmp_path / "large.safetensors")))
    with pytest.raises(ValueError, match="colour_layers must be from 0 to 7"):
        PairRenderer(plan(files, colour_layers=8))
    with pytest.raises(ValueError, match=r"shard must be \(i, N\)"):
        render_pairs(plan(files), tmp_path / "set", shard=(2, 2))
    with pytest.raises(ValueError, match="count must be at least 1"):
        plan(files, count=0)
    save_file({"ws": torch.zeros(1, 2, 3)}, tmp_path / "ws.safetensors")
    with pytest.raises(ValueError, match=r"have shape \(1, 2, 3\); this generator takes"):
        PairRenderer(plan(files, latents=str(tmp_path / "ws.safetensors")))
    with pytest.raises(ValueError, match="was not rendered from generators"):
        rerender_pair(tiny_pairs, snowai.pairs.read_pairs(tiny_pairs)[0].name)


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "4"}, (1, 4)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "8"}, (2, 8)),
        ({"RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, (0, 2)),
    ],
)
def test_shards_come_from_the_scheduler(environment, shard):
    assert shard_from_environment(environment) == shard


def test_a_killed_render_goes_on(files, tmp_path):
    arguments = ["--count", "40", "--seed", "3"]
    command = [sys.executable, "-c", "from snowai.cli import main; raise SystemExit(main())"]
    command += [
        "pairs",
        "render",
        str(files / "base.safetensors"),
        str(files / "styled.safetensors"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("RANK", None)
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, "-o", str(killed), *arguments], env=environment, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(list(killed.glob("photo/*.png"))) < 7:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in killed.glob("styled/*.png")}
    assert 0 < len(done) < 40
    assert not (killed / "metadata.jsonl").exists()
    render_pairs(plan(files, count=40), killed)
    assert all(path.stat().st_mtime_ns == kept for path, kept in done.items())
    render_pairs(plan(files, count=40), tmp_path / "whole")
    torn = [name for name in bytes_of(killed) if name.split("/")[-1].startswith(".")]
    kept = {name: data for name, data in bytes_of(killed).items() if name not in torn}
    assert kept == bytes_of(tmp_path / "whole")


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_two_ray_workers_write_what_one_process_writes(files, tmp_path):
    ray = pytest.importorskip("ray")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _system_config={"worker_niceness": 0},  # Else workers starve beside anything busy.
    )
    try:
        records = run_with_ray(partial(render_pairs, plan(files), tmp_path / "ray"), workers=2)
        with pytest.raises(ValueError, match=r"holds pairs of another plan \(seed differ"):
            run_with_ray(partial(render_pairs, plan(files, seed=4), tmp_path / "ray"), workers=2)
    finally:
        ray.shutdown()
    assert len(records) == 6
    render_pairs(plan(files), tmp_path / "serial")
    assert bytes_of(tmp_path / "ray") == bytes_of(tmp_path / "serial")


def test_the_plan_lies_beside_the_pairs(files, tmp_path):
    chosen = plan(files, blend=BlendRecipe.hard(8, resolution=32), count=2)
    render_pairs(chosen, tmp_path)
    values = json.loads((tmp_path / "render.json").read_text())
    assert RenderPlan.from_dict(values) == chosen
    assert read_image(tmp_path / "photo" / "3-000000.png").shape == (3, 32, 32)
