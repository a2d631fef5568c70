"""A training that was cut off goes on as if it had not been; another recipe's checkpoint is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from astra.core.errors import BadInputError
from astra.training.loop import LoopConfig, metrics, train

CONFIG = LoopConfig(steps=40, batch=8, rate=0.05, warmup=5, checkpoint_every=10, log_every=5, evaluate_every=20, threads=1)


def setup(seed: int = 0):
    torch.manual_seed(seed)
    model = torch.nn.Linear(3, 1)

    def losses(step: int):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return {"square": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    return model, losses


def test_it_learns_and_logs(tmp_path) -> None:
    model, losses = setup()
    weights = train(model, losses, CONFIG, tmp_path / "run", {"stage": "x"}, lambda: {"zero": 0.0})
    rows = list(metrics(tmp_path / "run"))
    trained = [r for r in rows if "loss" in r]
    assert trained[-1]["loss"] < 0.2 * trained[0]["loss"] and any("eval/zero" in r for r in rows)
    assert set(load_file(weights)) == {"weight", "bias"}


def test_resuming_is_exact(tmp_path) -> None:
    model, losses = setup()
    whole = load_file(train(model, losses, CONFIG, tmp_path / "whole", {"stage": "x"}))
    model, losses = setup()

    def cut(step: int):
        if step == 25:
            raise KeyboardInterrupt
        return losses(step)

    with pytest.raises(KeyboardInterrupt):
        train(model, cut, CONFIG, tmp_path / "cut", {"stage": "x"})
    model, losses = setup(seed=9)  # whatever it starts with, the checkpoint counts
    resumed = load_file(train(model, losses, CONFIG, tmp_path / "cut", {"stage": "x"}))
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path) -> None:
    model, losses = setup()
    train(model, losses, CONFIG, tmp_path, {"stage": "x"})
    with pytest.raises(BadInputError, match="another recipe"):
        train(model, losses, replace(CONFIG, rate=0.01), tmp_path, {"stage": "x"})


def test_a_loss_that_is_not_finite_ends_it(tmp_path) -> None:
    model, _ = setup()
    with pytest.raises(BadInputError, match="not finite"):
        train(model, lambda step: {"bad": model.weight.sum() * float("nan")}, CONFIG, tmp_path, {"stage": "x"})


def test_curves_are_drawn_where_asked_for(tmp_path) -> None:
    pytest.importorskip("torch.utils.tensorboard")
    model, losses = setup()
    train(model, losses, replace(CONFIG, steps=6, tensorboard=True), tmp_path, {"stage": "x"})
    assert any(file.name.startswith("events.out.tfevents") for file in tmp_path.iterdir())


def test_half_precision_learns_too(tmp_path, request) -> None:
    AcceleratorState._reset_state()  # precision is the process's
    request.addfinalizer(AcceleratorState._reset_state)
    model, losses = setup()
    train(model, losses, replace(CONFIG, mixed_precision="bf16"), tmp_path, {"stage": "x"})
    rows = [r["loss"] for r in metrics(tmp_path) if "loss" in r]
    assert rows[-1] < 0.3 * rows[0]


TWO = """
import sys, torch
from pathlib import Path
from astra.training.loop import LoopConfig, process, train
torch.manual_seed(process())  # weights that differ until they are shared
model = torch.nn.Linear(3, 1)
def losses(step):
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(2 * step + process()))
    return {"square": (model(x) - x.sum(1, keepdim=True)).square().mean()}
train(model, losses, LoopConfig(steps=5, batch=8, rate=0.05, warmup=2, threads=1), Path(sys.argv[1]) / "run", {"stage": "x"})
torch.save(model.state_dict(), Path(sys.argv[1]) / f"{process()}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"})
    one, other = (torch.load(tmp_path / f"{k}.pt", weights_only=True) for k in (0, 1))
    torch.testing.assert_close(one, other)


def test_the_rate_warms_up_and_falls() -> None:
    rates = [CONFIG.rate_at(step) for step in range(CONFIG.steps)]
    assert rates[0] < rates[4] == pytest.approx(max(rates), rel=1e-2) and rates[-1] < 0.05 * max(rates)
    with pytest.raises(Exception, match="warmup"):
        LoopConfig(steps=10, warmup=20)
