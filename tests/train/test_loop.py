"""The loop: what it leaves, and that it survives."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from torch import nn

import snowai
from snowai.runs import update_ema
from snowai.train import DivergedError, TrainConfig, fit, loop
from snowai.train.data import BatchOrder


def state(folder):
    return load_file(folder / "state.safetensors")


def assert_same_run(first, second):
    one, two = state(first), state(second)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    assert (first / "metrics.jsonl").read_text() == (second / "metrics.jsonl").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    tiny_run.run(folder)
    return folder


class Stopped(Exception):
    pass


def stop_at(monkeypatch, step):
    """Break the run in the middle of a step, as a kill would."""
    original = loop._Run._step

    def broken(self, pair, at):
        if at == step:
            raise Stopped
        return original(self, pair, at)

    monkeypatch.setattr(loop._Run, "_step", broken)


def test_a_run_leaves_network_state_metrics_and_samples(whole):
    assert {path.name for path in whole.iterdir()} == {
        "network.safetensors",
        "state.safetensors",
        "metrics.jsonl",
        "config.json",
        "samples",
    }
    assert [p.name for p in sorted((whole / "samples").iterdir())] == ["0000006.png", "0000012.png"]
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert "adversarial" not in rows[1]
    assert {"pixel", "adversarial", "feature_matching", "discriminator"} <= rows[-1].keys()
    assert "r1" in rows[0] or all("r1" not in row for row in rows[:3])


def test_the_network_is_a_checkpoint_that_knows_its_training(whole):
    header = snowai.checkpoint.read_header(whole / "network.safetensors")
    assert header.class_name == "EyeMaskInput"
    assert header.provenance["steps"] == 12
    assert header.provenance["training"]["weights"]["pixel"] == 10.0


@pytest.mark.parametrize("step", [3, 4, 9])
def test_resume_goes_on_bit_by_bit(whole, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Stopped):
            tiny_run.run(tmp_path)
    tiny_run.run(tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


def test_without_the_random_state_a_resumed_run_is_another_run(whole, tmp_path, monkeypatch):
    # If this passed for equal runs, the test above would prove nothing.
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Stopped):
            tiny_run.run(tmp_path)
    monkeypatch.setattr(loop, "set_random_state", lambda *_: None)
    tiny_run.run(tmp_path, resume=True)
    with pytest.raises(AssertionError):
        assert_same_run(whole, tmp_path)


def test_kill_9_at_random_steps_loses_nothing(tmp_path):
    # Both runs are processes of their own: the same machine, the same threads.
    script = [sys.executable, str(Path(tiny_run.__file__))]
    subprocess.run([*script, str(tmp_path / "whole"), "12"], check=True, capture_output=True)
    killed, chance = tmp_path / "killed", random.Random(time.time_ns())
    for _ in range(3):
        process = subprocess.Popen([*script, str(killed), "12"], stderr=subprocess.DEVNULL)
        log = killed / "metrics.jsonl"
        before = log.read_text().count("\n") if log.is_file() else 0
        goal = before + chance.randint(1, 4)
        while process.poll() is None and (
            not log.is_file() or log.read_text().count("\n") < min(goal, 11)
        ):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*script, str(killed), "12"], check=True, capture_output=True)
    assert_same_run(tmp_path / "whole", killed)


def test_a_finished_run_resumes_to_itself(whole, tmp_path):
    import shutil

    shutil.copytree(whole, tmp_path / "copy")
    result = tiny_run.run(tmp_path / "copy", resume=True)
    assert_same_run(whole, tmp_path / "copy")
    assert not result.network.training


def test_a_run_is_never_overwritten(whole):
    with pytest.raises(FileExistsError, match="pass resume=True"):
        tiny_run.run(whole)


def test_the_callers_random_state_is_left_alone(tmp_path):
    network = tiny_run.network()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(network, tiny_run.Squares(), tmp_path, config=tiny_run.config(steps=2))
    assert torch.equal(torch.rand(1), expected)


class Explosive(nn.Module):
    def __init__(self, at):
        super().__init__()
        self.calls, self.at = 0, at

    def forward(self, prediction, target):
        self.calls += 1
        return (prediction - target).abs().mean() * (torch.nan if self.calls == self.at else 1)


def explode(folder, at):
    """Train with a loss that is no number at a step."""
    config = tiny_run.config(weights=snowai.train.LossWeights(perceptual=1.0))
    perceptual = Explosive(at)
    fit(tiny_run.network(), tiny_run.Squares(), folder, config=config, perceptual=perceptual)


def test_nan_stops_and_keeps_the_last_good_state(tmp_path):
    with pytest.raises(
        DivergedError, match=r"diverged at step 8: .*perceptual nan.*last good state"
    ):
        explode(tmp_path, 8)
    assert all(
        tensor.isfinite().all() for tensor in state(tmp_path).values() if tensor.is_floating_point()
    )
    facts = snowai.checkpoint.read_header(tmp_path / "network.safetensors").provenance
    assert facts["steps"] == 6


def test_nan_before_the_first_state_says_so(tmp_path):
    with pytest.raises(DivergedError, match="no state was saved yet"):
        explode(tmp_path, 1)


def test_a_missing_perceptual_loss_is_an_error_and_not_a_silent_zero(tmp_path):
    with pytest.raises(ValueError, match="weights.perceptual is above 0"):
        fit(tiny_run.network(), tiny_run.Squares(), tmp_path, config=TrainConfig())


def test_a_state_of_another_network_is_refused(whole, tmp_path):
    import shutil

    shutil.copytree(whole, tmp_path / "copy")
    with pytest.raises(ValueError, match="holds another network"):
        fit(
            snowai.EyeMaskInput(snowai.create_model("se_unet_tiny")),
            tiny_run.Squares(),
            tmp_path / "copy",
            config=tiny_run.config(),
            resume=True,
        )


def test_a_damaged_state_is_refused(whole, tmp_path):
    import shutil

    shutil.copytree(whole, tmp_path / "copy")
    path = tmp_path / "copy" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="is no training state"):
        tiny_run.run(tmp_path / "copy", resume=True)


def test_bf16_trains(tmp_path):
    result = tiny_run.run(tmp_path, steps=4, precision="bf16")
    assert {weight.dtype for weight in result.network.parameters()} == {torch.float32}
    assert all(value == value for value in result.metrics.values())


def test_workers_see_the_same_pairs_in_the_same_order(whole, tmp_path):
    tiny_run.run(tmp_path, workers=2)
    assert_same_run(whole, tmp_path)


def test_two_processes_keep_the_same_weights_and_their_own_chance(tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*launch, str(Path(tiny_run.__file__)), str(tmp_path), "4"],
        check=True,
        capture_output=True,
        env=environment,
    )
    weights = [load_file(tmp_path / f"rank{rank}.safetensors")["weights"] for rank in (0, 1)]
    assert torch.equal(*weights)
    assert not torch.equal(
        weights[0], torch.cat([p.flatten() for p in tiny_run.network().parameters()])
    )
    kept = state(tmp_path)
    assert not torch.equal(kept["random.0.cpu"], kept["random.1.cpu"])
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_every_epoch_sees_every_pair_once_and_processes_share_them():
    orders = [BatchOrder(12, 2, seed=3, rank=rank, world=2) for rank in range(2)]
    batches = [iter(order) for order in orders]
    seen = [index for _ in range(3) for batch in batches for index in next(batch)]
    assert sorted(seen) == list(range(12))
    later = iter(BatchOrder(12, 2, seed=3, start=2, rank=1, world=2))
    assert next(later) == seen[10:12]


def test_weighted_pairs_are_drawn_as_often_as_they_weigh():
    weights = torch.tensor([0.0, 1.0, 3.0])
    order = BatchOrder(3, 30, seed=3, weights=weights)
    batches = iter(order)
    drawn = [index for _ in range(100) for index in next(batches)]
    counts = torch.tensor(drawn).bincount(minlength=3)
    assert counts[0] == 0
    assert counts[2] / counts[1] == pytest.approx(3, rel=0.15)
    later = iter(BatchOrder(3, 30, seed=3, start=2, weights=weights))
    assert next(later) == drawn[60:90]


def test_averages_start_short_and_copy_integers():
    network, ema = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.num_batches_tracked.fill_(7)
    update_ema(ema, network, decay=0.999, step=0)
    assert ema.weight.item() == pytest.approx(1 + 2 * 0.9)
    assert ema.num_batches_tracked.item() == 7


def test_learning_rate_rises_stays_and_falls():
    config = TrainConfig(steps=1000, warmup=100, decay_from=0.5)
    factors = [config.learning_rate_factor(step) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert set(factors[100:500]) == {1.0}
    assert factors[-1] == pytest.approx(0.002)
    assert factors[500:] == sorted(factors[500:], reverse=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 100}, "size must be a positive multiple of 32; got 100"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"ema": 1.5}, r"ema must be in \[0, 1\]"),
    ],
)
def test_wrong_configs_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        TrainConfig(**changes)


def test_accelerate_missing_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"pip install 'snowai\[train\]'"):
        tiny_run.run(tmp_path)
