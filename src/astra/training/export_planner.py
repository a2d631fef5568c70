"""From the planner's weights to the folder that `local_model.planning.runtime` runs from."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from astra.local_model.planning.network import FINE, Planner, ReadScene, Scene2d
from astra.local_model.planning.runtime import DESCRIPTION_FILE, FORMAT_VERSION, READ_FILE, REFINE_FILE
from astra.training.export import write_graph
from astra.training.planner import load_planner


class _Read(nn.Module):
    def __init__(self, model: Planner) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, maps: Tensor, velocity: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        read = self.encoder(Scene2d(maps, velocity, goal))
        return read.tokens, read.fine


class _Refine(nn.Module):
    """One scene, N trajectories in it."""

    def __init__(self, model: Planner) -> None:
        super().__init__()
        self.refine = model.refine

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor, maps: Tensor, fine: Tensor, goal: Tensor) -> Tensor:
        out: Tensor = self.refine(x, t, ReadScene(tokens, maps, fine, goal))
        return out


def export_planner(weights: Path, out: Path) -> dict[str, float]:
    """Write graphs, weights and description to `out`; returns the greatest difference from torch of each graph.

    Raises:
        AstraError: a graph differs from torch by more than `export.PARITY`.
    """
    model, recipe = load_planner(weights)
    out.mkdir(parents=True, exist_ok=True)
    c, generator = model.config, torch.Generator().manual_seed(0)
    cells, channels = c.maps.cells, len(c.maps.moments_s) + 1
    maps, fine = torch.rand(1, channels, cells, cells, generator=generator), torch.randn(1, FINE, cells // 2, cells // 2, generator=generator)
    velocity, goal = torch.randn(1, c.history, 2, generator=generator), torch.tensor([[1.5, -0.5, 0.3, 1.0]])
    tokens = torch.randn(1, (cells // 8) ** 2 + 2, c.width, generator=generator)
    x, t = torch.randn(4, c.trajectory.steps, 3, generator=generator), torch.rand(4, generator=generator)
    torch.backends.mha.set_fastpath_enabled(False)  # the fused layer has no ONNX form
    differences = {
        "read": write_graph(_Read(model), (maps, velocity, goal), ("maps", "velocity", "goal"), ("tokens", "fine"), out / READ_FILE, {}),
        "refine": write_graph(
            _Refine(model), (x, t, tokens, maps, fine, goal), ("x", "t", "tokens", "maps", "fine", "goal"), ("out",), out / REFINE_FILE,
            {"x": {0: "n"}, "t": {0: "n"}},
        ),
    }  # fmt: skip
    torch.backends.mha.set_fastpath_enabled(True)
    if weights.resolve() != (out / "weights.safetensors").resolve():
        shutil.copyfile(weights, out / "weights.safetensors")
    told = {"format_version": FORMAT_VERSION, "planner": asdict(c), "recipe": recipe, "difference_from_torch": differences}
    (out / DESCRIPTION_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return differences
