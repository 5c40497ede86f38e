"""Train in a child process, kill it with signal 9 at random moments, and start it again.

python killed_run.py FOLDER KILLS

Writes FOLDER/whole, a run that nobody killed, and FOLDER/killed; writes how often it was killed.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import tiny_run
import torch

STEPS = 60


def start(folder: Path) -> int:
    """Run in a child and return its number."""
    child = os.fork()
    if child:
        return child
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - until the end.
    tiny_run.run(folder, steps=STEPS, save_every=2, sample_every=20, resume=True)
    os._exit(0)


def main(folder: Path, kills: int) -> int:
    torch.set_num_threads(1)  # Before a pool of threads exists, which children would not have.
    begun = time.monotonic()
    assert os.waitpid(start(folder / "whole"), 0)[1] == 0
    seconds = time.monotonic() - begun
    chance, killed = random.Random(time.time_ns()), 0
    while killed < kills:
        child = start(folder / "killed")
        time.sleep(chance.uniform(0, seconds / 6))
        done, _ = os.waitpid(child, os.WNOHANG)
        if done:  # It ended by itself: whatever comes now changes nothing, so begin anew.
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
    while killed < kills:  # A finished run is killed while it looks at its own end.
        child = start(folder / "killed")
        time.sleep(chance.uniform(0, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
    assert os.waitpid(start(folder / "killed"), 0)[1] == 0
    return killed


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]), int(sys.argv[2]))))
