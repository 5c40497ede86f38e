"""import snowai is light, and every public name is there."""

import json
import subprocess
import sys

import pytest

import snowai

HEAVY = ["torchvision", "timm", "lpips", "kornia", "face_alignment", "mediapipe", "cv2"]

PROBE = """
import json, sys, time
import torch
start = time.perf_counter()
import snowai
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "modules": list(sys.modules)}))
"""


@pytest.fixture(scope="module")
def fresh():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_pulls_in_nothing_heavy(fresh):
    assert not [name for name in HEAVY if name in fresh["modules"]]


def test_import_costs_little_more_than_torch(fresh):
    # The budget is 0.3 s; what is measured is milliseconds, so a busy machine does not matter.
    assert fresh["seconds"] < 0.3


@pytest.mark.parametrize("name", snowai.__all__)
def test_every_public_name_is_there(name):
    assert getattr(snowai, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'fliter'"):
        snowai.fliter  # noqa: B018


def test_dir_lists_the_public_names():
    assert set(dir(snowai)) >= {"FaceFilter", "create_model", "fit"}
