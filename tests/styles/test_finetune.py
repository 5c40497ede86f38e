"""Style training: it learns, survives kills, keeps to its base when asked, and says what moved."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_style
import torch
from safetensors.torch import load_file
from torch import nn

import snowai
from snowai.image import image_size, write_image
from snowai.models import StyleGAN2Discriminator
from snowai.runs import DivergedError
from snowai.styles import (
    ProjectedDiscriminator,
    SourceWeights,
    StyleTrainConfig,
    load_pictures,
    train_style,
)
from snowai.styles.finetune import _Run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("style") / "whole"
    return folder, tiny_style.run(folder)


def weights(folder, name="generator"):
    return load_file(folder / f"{name}.safetensors")


def make_run(tmp_path, discriminator=None, **changes):
    generator = tiny_style.generator()
    run = _Run(
        generator, tiny_style.pictures(), tmp_path, tiny_style.config(**changes), discriminator
    )
    run.perceptual = run.identity = None
    return run


def test_a_run_leaves_what_people_choose_from(whole):
    folder, result = whole
    names = [f"{images:07d}" for images in (8, 16, 24, 32, 40, 48)]
    assert [p.stem for p in sorted((folder / "snapshots").iterdir())] == [
        f"generator-{name}" for name in names
    ]
    assert [p.stem for p in sorted((folder / "samples").iterdir())] == ["0000000", *names]
    assert image_size(folder / "samples" / "0000048.png") == (64, 128)
    assert type(snowai.from_pretrained(folder / "generator.safetensors")) is type(result.generator)
    judge = snowai.from_pretrained(folder / "discriminator.safetensors")
    assert isinstance(judge, StyleGAN2Discriminator)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    drifts = [line["drift"] for line in lines if "drift" in line]
    assert len(drifts) == 6
    assert drifts[-1] == pytest.approx(dict(result.drift))
    assert {"judge", "fool_judge", "ada_p"} <= lines[-2].keys() | lines[-1].keys()


def test_everything_learns(whole):
    _, result = whole
    base = tiny_style.generator().state_dict()
    for name, weight in result.generator.state_dict().items():
        if not name.endswith("noise_const"):
            assert not torch.equal(weight, base[name]), name
    assert min(result.drift.values()) > 0


def test_noise_that_is_off_stays_off(tmp_path):
    base = tiny_style.generator()
    for layer in base.synthesis.styled_convs():
        nn.init.constant_(layer.noise_strength, 0.5)
    result = tiny_style.run(tmp_path, base=base, noise=False)
    assert all(layer.noise_strength == 0 for layer in result.generator.synthesis.styled_convs())
    assert all(layer.noise_strength == 0.5 for layer in base.synthesis.styled_convs())


def test_fakes_come_to_look_like_the_pictures(tmp_path):
    """Two hundred steps on one colour: the generator must find it."""
    pictures = torch.zeros(12, 3, 16, 16, dtype=torch.uint8)
    pictures[:, 0] = 230
    generator = tiny_style.generator()
    z = torch.randn(16, 8)
    before = generator(z).detach().mean(dim=(0, 2, 3))
    config = tiny_style.config(images=800, snapshot_every=800, learning_rate=0.01, ada_start=0.0)
    after = train_style(generator, pictures, tmp_path, config=config).generator(z).mean((0, 2, 3))
    wanted = torch.tensor([230 / 255, 0, 0])
    assert float((after - wanted).norm()) < 0.5 * float((before - wanted).norm())


def test_kill_9_at_random_steps_loses_nothing(tmp_path):
    script = [sys.executable, str(Path(tiny_style.__file__))]
    environment = os.environ | {"PYTHONPATH": str(Path(tiny_style.__file__).parent)}
    kwargs = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*script, str(tmp_path / "whole"), "48"], check=True, **kwargs)
    killed, chance = tmp_path / "killed", random.Random(time.time_ns())
    for _ in range(2):
        process = subprocess.Popen([*script, str(killed), "48"], **kwargs)
        state = killed / "state.safetensors"
        before = state.stat().st_mtime_ns if state.is_file() else 0
        while process.poll() is None and (
            not state.is_file() or state.stat().st_mtime_ns == before
        ):
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*script, str(killed), "48"], check=True, **kwargs)
    for name in ("generator", "discriminator", "state"):
        one, two = weights(tmp_path / "whole", name), weights(killed, name)
        assert all(torch.equal(one[key], two[key]) for key in one), name
    logs = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "killed")]
    assert logs[0] == logs[1]


def test_a_run_is_never_overwritten(whole):
    with pytest.raises(FileExistsError, match="pass resume=True"):
        tiny_style.run(whole[0])


def test_two_processes_keep_the_same_weights(tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*launch, str(Path(tiny_style.__file__)), str(tmp_path), "16"],
        check=True,
        capture_output=True,
        env=environment,
    )
    one, two = (load_file(tmp_path / f"rank{rank}.safetensors")["weights"] for rank in (0, 1))
    assert torch.equal(one, two)


def test_freeze_d_keeps_the_finest_blocks(tmp_path):
    run = make_run(tmp_path, freeze_d=1)
    before = {k: v.clone() for k, v in run.judges["judge"].state_dict().items()}
    for step in range(3):
        run._step(step)
    after = run.judges["judge"].state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(("from_rgb.", "blocks.0.")) for name in moved)
    assert any(name.startswith("blocks.1.") for name in moved)
    assert any(name.startswith("logit.") for name in moved)


@pytest.mark.parametrize("part", ["perceptual", "identity", "structure"])
def test_what_holds_to_the_base_has_a_gradient_and_holds(tmp_path, part):
    class Pooled(nn.Module):
        def forward(self, image):
            return nn.functional.avg_pool2d(image, 4).flatten(1)

    def far(weight):
        folder = tmp_path / f"{weight}"
        run = make_run(folder, source=SourceWeights(**{part: weight}), images=400, r1=0.0)
        run.perceptual, run.identity = nn.MSELoss(), Pooled()
        with torch.no_grad():
            for name, value in run.generator.named_parameters():
                if name.startswith("synthesis.to_rgb"):
                    value.add_(0.5)  # A head start away from the base.
        first = None
        for step in range(40):
            losses = run._step(step)
            first = losses[part] if first is None and part in losses else first
        ws = run.source.mapping(torch.randn(16, 8, generator=torch.Generator().manual_seed(9)))
        with torch.no_grad():
            one, two = run.generator.synthesis(ws), run.source.synthesis(ws)
        if part == "identity":
            likeness = nn.functional.cosine_similarity(run.identity(one), run.identity(two))
            return 1 - float(likeness.mean()), first
        return float((one - two).square().mean()), first

    held, loss = far(100.0)
    free, none = far(0.0)
    assert loss is not None
    assert float(loss) > 0
    assert none is None
    assert held < free


def test_a_second_judge_on_trained_features_learns_and_is_kept(tmp_path):
    run = make_run(tmp_path, projected=0.5, projected_size=64)
    judge = run.judges["projected"]
    assert isinstance(judge, ProjectedDiscriminator)
    before = {k: v.clone() for k, v in judge.state_dict().items()}
    losses = run._step(0)
    assert {"projected", "fool_projected"} <= losses.keys()
    after = judge.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(name.startswith("heads.") for name in moved)
    assert moved


def test_real_and_fake_are_judged_after_the_same_kind_of_augmentation(tmp_path):
    run = make_run(tmp_path)
    seen = []
    run.augment.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0].shape[0])
    )
    run._step(1)
    assert seen == [4, 4, 4]  # Fakes for the generator; real and fake for the discriminator.


def test_regularisers_come_when_they_should(tmp_path):
    run = make_run(tmp_path)
    names = [set(run._step(step)) for step in range(6)]
    assert [("r1" in found) for found in names] == [True, False, False, True, False, False]
    assert [("path" in found) for found in names] == [True, False] * 3


def test_the_r1_weight_is_adas_when_none_is_given(tmp_path):
    run = make_run(tmp_path)
    assert run.r1 == pytest.approx(0.0002 * 16**2 / 4)


def test_divergence_stops_before_the_damage(tmp_path):
    run = make_run(tmp_path)
    with torch.no_grad():
        run.generator.synthesis.to_rgb[0].bias.fill_(float("nan"))
    before = run.judges["judge"].logit.weight.clone()
    with pytest.raises(DivergedError, match="Training the generator diverged at step 1"):
        run._step(0)
    assert torch.equal(run.judges["judge"].logit.weight, before)


def test_misfits_are_refused_before_the_start(tmp_path):
    with pytest.raises(ValueError, match=r"pictures must be \(N, 3, 16, 16\)"):
        train_style(tiny_style.generator(), torch.zeros(12, 3, 32, 32), tmp_path)
    with pytest.raises(ValueError, match=r"source.perceptual is above 0"):
        tiny_style.run(tmp_path, source=SourceWeights(perceptual=1.0))
    with pytest.raises(ValueError, match="judges 32 pixels and the generator draws 16"):
        tiny_style.run(tmp_path, discriminator=StyleGAN2Discriminator(32, channel_base=64))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        StyleTrainConfig(batch_size=0)
    assert not list(tmp_path.iterdir())


class Blind:
    scheme = "mediapipe478"

    def detect(self, image):
        return []


def test_too_few_pictures_and_faceless_ones_are_named(tmp_path, landmarker, astronaut):
    for index in range(3):
        write_image(tmp_path / f"{index}.png", torch.rand(3, 40, 30))
    with pytest.raises(ValueError, match="holds 3 pictures; a style needs at least 10"):
        load_pictures(tmp_path, 16)
    for index in range(3, 12):
        write_image(tmp_path / f"{index}.png", torch.rand(3, 40, 30))
    assert load_pictures(tmp_path, 16).shape == (12, 3, 16, 16)
    with pytest.raises(ValueError, match=r"found in 0 of 12 pictures.*Without one: 0.png"):
        load_pictures(tmp_path, 16, landmarker=Blind())
    for index in range(12):
        astronaut.save(tmp_path / f"{index}.png")
    faces = load_pictures(tmp_path, 64, landmarker=landmarker)
    assert faces.shape == (12, 3, 64, 64)
    assert landmarker.detect(faces[0].float() / 255)
