"""The loop: what it leaves, and that it survives."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from torch import nn

import snowai
from snowai.runs import update_ema
from snowai.train import PRESETS, DivergedError, TrainConfig, fit, loop, training_preset
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
    original = loop.Run.step

    def broken(self, batches, at):
        if at == step:
            raise Stopped
        return original(self, batches, at)

    monkeypatch.setattr(loop.Run, "step", broken)


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


KILLS = int(os.environ.get("SNOWAI_KILLS", "20"))  # A slow session may do 50.


def test_kill_9_at_random_moments_loses_nothing(tmp_path):
    # Both runs are children of one process that has loaded everything: the same machine and
    # threads, and a kill costs no more than the run itself.
    script = [sys.executable, str(Path(__file__).with_name("killed_run.py")), str(tmp_path)]
    told = subprocess.run([*script, str(KILLS)], check=True, capture_output=True, text=True)
    assert int(told.stdout) == KILLS
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


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
    """A loss that is no number in some of its calls."""

    def __init__(self, *at):
        super().__init__()
        self.calls, self.at = 0, at

    def forward(self, prediction, target):
        self.calls += 1
        return (prediction - target).abs().mean() * (torch.nan if self.calls in self.at else 1)


def explode(folder, *at, **changes):
    """Train with a loss that is no number at some calls."""
    config = tiny_run.config(weights=snowai.train.LossWeights(perceptual=1.0), **changes)
    perceptual = Explosive(*at)
    return fit(tiny_run.network(), tiny_run.Squares(), folder, config=config, perceptual=perceptual)


def test_nan_goes_back_to_the_last_good_state_with_half_the_rate(tmp_path, capsys):
    explode(tmp_path, 8)
    assert "Diverged at step 8" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))  # 7 is taken again, and then 8.
    rate = TrainConfig().learning_rate
    assert rows[5]["learning_rate"] == pytest.approx(rate)
    assert rows[6]["learning_rate"] == pytest.approx(rate / 2 * 11 / 12, rel=0.1)
    assert all(x.isfinite().all() for x in state(tmp_path).values() if x.is_floating_point())


def test_a_run_that_keeps_diverging_gives_up_and_keeps_the_last_good_state(tmp_path):
    with pytest.raises(
        DivergedError, match=r"diverged at step 8 after 2 times going back: .*last good state"
    ):
        explode(tmp_path, 8, 10, 12, rollbacks=2)
    assert all(x.isfinite().all() for x in state(tmp_path).values() if x.is_floating_point())
    facts = snowai.checkpoint.read_header(tmp_path / "network.safetensors").provenance
    assert facts["steps"] == 6


def test_nan_before_the_first_state_says_so(tmp_path):
    with pytest.raises(DivergedError, match="no state was saved yet"):
        explode(tmp_path, 1)


def test_a_full_disk_stops_the_run_and_loses_nothing(whole, tmp_path):
    # The system refuses files above 100 KB in this process, as a full disk would: really.
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); import tiny_run, torch;"
        "from pathlib import Path; torch.set_num_threads(1); folder = Path(sys.argv[1]);"
        "limit = (100_000, resource.RLIM_INFINITY);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limit);"
        "tiny_run.run(folder, resume=True)"
    )
    import shutil

    small = tmp_path / "run"
    tiny_run.run(small, steps=12, save_every=4, log_every=1)
    shutil.copytree(small, tmp_path / "copy")
    before = (small / "state.safetensors").read_bytes()
    assert len(before) > 100_000
    facts = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(facts | {"steps": 24}))
    code = code.replace("resume=True", "resume=True, steps=24")
    done = subprocess.run(
        [sys.executable, "-c", code, str(small), str(Path(__file__).parent)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "OSError" in done.stderr
    assert (small / "state.safetensors").read_bytes() == before
    assert not list(small.glob("*.tmp*"))
    tiny_run.run(small, resume=True, steps=24)  # With room again it goes on.
    assert snowai.checkpoint.read_header(small / "network.safetensors").provenance["steps"] == 24


class Torn(tiny_run.Squares):
    """Two of the pairs cannot be read."""

    def __getitem__(self, index):
        if index in (3, 7):
            raise snowai.BadImage(f"pair {index} is damaged.")
        return super().__getitem__(index)


def test_a_damaged_pair_stops_the_run_by_its_name(tmp_path):
    with pytest.raises(snowai.BadImage, match="is damaged"):
        fit(tiny_run.network(), Torn(), tmp_path, config=tiny_run.config())


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_pairs_are_skipped_by_name_and_counted(tmp_path, capsys, workers):
    config = tiny_run.config(bad_pairs="skip", workers=workers)
    result = fit(tiny_run.network(), Torn(), tmp_path, config=config)
    told = capsys.readouterr().err
    assert result.skipped == 2
    assert told.count("pair 3 is damaged") == told.count("pair 7 is damaged") == 1


def test_the_best_network_is_kept_and_the_run_stops_when_nothing_gets_better(tmp_path):
    class Worse(nn.Module):
        """Each validation of 10 pairs, 5 batches, is worse than the one before, but the second."""

        def __init__(self):
            super().__init__()
            self.values = iter([3.0] * 5 + [1.0] * 5 + [2.0] * 100)

        def forward(self, prediction, target):
            if prediction.requires_grad:
                return (prediction - target).abs().mean()
            return prediction.mean() * 0 + next(self.values)

    config = tiny_run.config(
        100, weights=snowai.train.LossWeights(), validate_every=3, patience=2, save_every=50
    )
    result = fit(
        tiny_run.network(),
        tiny_run.Squares(),
        tmp_path,
        config=config,
        perceptual=Worse(),
        validation=tiny_run.Squares(),
    )
    assert result.best == 1.0
    best, last = (
        snowai.checkpoint.read_header(tmp_path / f"{name}.safetensors").provenance
        for name in ("best", "network")
    )
    assert best["steps"] == 6
    assert best["validation"]["perceptual"] == 1.0
    assert last["steps"] == 12
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "validation_perceptual" in row] == [3, 6, 9, 12]


def test_batches_that_are_added_up_equal_one_large_batch(tmp_path):
    large = tiny_run.plain_run(tmp_path / "large", batch_size=4)
    added = tiny_run.plain_run(tmp_path / "added", batch_size=2, accumulate=2)
    torch.testing.assert_close(added, large, rtol=0, atol=1e-6)
    assert not torch.equal(large, tiny_run.plain_run(tmp_path / "small", batch_size=2))


def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*launch, str(Path(tiny_run.__file__)), str(tmp_path / "two"), "plain"],
        check=True,
        capture_output=True,
        env=environment,
    )
    one = tiny_run.plain_run(tmp_path / "one", batch_size=4)
    two = load_file(tmp_path / "two" / "rank0.safetensors")["weights"]
    torch.testing.assert_close(two, one, rtol=0, atol=1e-6)


def test_every_loss_trains_and_resumes_bit_by_bit(tmp_path, monkeypatch):
    weights = snowai.train.LossWeights(
        eyes=1.0, structure=1.0, temporal=1.0, identity=1.0, colour=1.0, alpha=1.0,
        alpha_variation=1.0,
    )  # fmt: skip
    judge = snowai.train.DiscriminatorConfig(
        width=4, n_layers=2, components=True, mismatch=0.5, shared=True, se=True
    )
    config = tiny_run.config(weights=weights, discriminator=judge, accumulate=2)
    embedder = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Flatten())

    def run(folder, **more):
        return fit(
            tiny_run.network(),
            tiny_run.Squares(),
            folder,
            config=config,
            perceptual=Explosive(),
            identity=snowai.losses.IdentityLoss(embedder, size=32),
            **more,
        )

    metrics = run(tmp_path / "whole").metrics
    assert metrics.keys() > {"temporal", "identity", "colour", "alpha", "eyes", "mismatch"}
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(Stopped):
            run(tmp_path / "stopped")
    run(tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_trackers_get_the_metrics(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tiny_run.run(tmp_path, steps=4, trackers=("tensorboard",))
    files = sorted(tmp_path.rglob("events.out.tfevents.*"), key=lambda path: len(path.parts))
    board = EventAccumulator(str(files[0]))
    board.Reload()
    assert [event.step for event in board.Scalars("pixel")] == [1, 2, 3, 4]


def test_unknown_trackers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no tracker 'abacus' here; there are"):
        tiny_run.run(tmp_path, trackers=("abacus",))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_whole(name):
    config = training_preset(name, steps=7)
    assert config.steps == 7
    assert config.needs_discriminator == (name != "fast")


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="name must be one of fast, quality, fran"):
        training_preset("slow")


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


def test_a_trained_network_can_be_copied_and_carries_no_hooks(tmp_path):
    network = tiny_run.network()
    fit(network, tiny_run.Squares(), tmp_path, config=tiny_run.config(steps=2))
    copy.deepcopy(network)
    assert not any(part._forward_hooks for part in network.modules())


def test_checkpointed_activations_train_the_same_network(tmp_path):
    def weights(folder, **changes):
        torch.manual_seed(0)
        edit = snowai.EyeMaskInput(snowai.EditNet(widths=(8, 8), blocks=2, norm="layer"))
        config = tiny_run.config(steps=2, **changes)
        network = fit(edit, tiny_run.Squares(), tmp_path / folder, config=config).network
        return list(network.parameters())

    plain, again = weights("plain"), weights("again", activation_checkpointing=True)
    torch.testing.assert_close(again, plain, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="EyeMaskInput offers no activation checkpointing"):
        tiny_run.run(tmp_path / "other", activation_checkpointing=True)


def test_a_compiled_network_is_the_one_that_runs(tmp_path, monkeypatch):
    calls = []

    def compiled(module):
        def run(*inputs):
            calls.append(1)
            return module(*inputs)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    tiny_run.run(tmp_path, steps=2, compile=True)
    assert len(calls) == 2


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
