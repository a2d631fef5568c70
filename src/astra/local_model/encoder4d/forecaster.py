"""The 4-D encoder: aligned past volumes → 3-D-conv ResNet → blocks conditioned on the future moment → feature pyramid → future volumes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from astra.core.config import require

HORIZON_S = 2.0


@dataclass(frozen=True, slots=True)
class ForecasterConfig:
    """Sizes; `channels` is that of the encoder's voxels."""

    channels: int = 16
    past: int = 4  # volumes, the current one included
    step_s: float = 0.5
    width: int = 32  # at half resolution
    deep: int = 64  # at a quarter
    blocks: int = 2  # DiT blocks at a quarter resolution
    heads: int = 4

    def __post_init__(self) -> None:
        require(self.past >= 1, "past", self.past, "at least 1")
        require(self.deep % self.heads == 0, "heads", self.heads, f"a divisor of deep {self.deep}")
        require(self.blocks >= 1, "blocks", self.blocks, "at least 1")


class Forecaster(nn.Module):
    """Volumes at any moments within two seconds, as changes of the current one: before training it says that nothing moves."""

    def __init__(self, config: ForecasterConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or ForecasterConfig()
        self.enter = nn.Sequential(nn.Conv3d(c.past * (c.channels + 1), c.width, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)), nn.ReLU(inplace=True))
        self.fine = ResBlock(c.width)
        self.down = nn.Sequential(nn.Conv3d(c.width, c.deep, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.coarse = ResBlock(c.deep)
        self.moment = nn.Sequential(nn.Linear(2 * 8, c.deep), nn.SiLU(), nn.Linear(c.deep, c.deep), nn.SiLU())
        self.dit = nn.ModuleList(DitBlock(c.deep, c.heads) for _ in range(c.blocks))
        self.modulate = nn.Linear(c.deep, 2 * c.width)
        self.merge = nn.Conv3d(c.deep, c.width, 1)
        self.smooth = ResBlock(c.width)
        self.leave = nn.Conv3d(c.width, c.channels, (1, 3, 3), padding=(0, 1, 1))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, volumes: Tensor, known: Tensor, moments_s: Tensor) -> Tensor:
        """Forecast.

        Args:
            volumes: (B, P, C, Z, Y, X), ego-motion-aligned, newest first.
            known: (B, P), 1 where a volume was really there.
            moments_s: (B, F), 0..2 s from now.

        Returns:
            (B, F, C, Z, Y, X) in the current base_link frame.
        """
        b, p, _, z, y, x = volumes.shape
        f = moments_s.shape[1]
        marks = known.view(b, p, 1, 1, 1, 1).expand(b, p, 1, z, y, x)
        fine = self.fine(self.enter(torch.cat([volumes, marks], 2).flatten(1, 2)))
        coarse = self.coarse(self.down(fine))
        moment = self.moment(moment_features(moments_s)).flatten(0, 1)  # (B·F, deep)
        tokens = coarse.flatten(2).transpose(1, 2).repeat_interleave(f, 0)
        for block in self.dit:
            tokens = block(tokens, moment)
        deep = tokens.transpose(1, 2).unflatten(2, coarse.shape[2:])
        scale, shift = self.modulate(moment)[..., None, None, None].chunk(2, 1)
        lateral = fine.repeat_interleave(f, 0) * (1.0 + scale) + shift
        merged = lateral + nn.functional.interpolate(self.merge(deep), size=fine.shape[2:], mode="nearest")
        change = self.leave(nn.functional.interpolate(self.smooth(merged), size=(z, y, x), mode="nearest"))
        return volumes[:, :1] + change.unflatten(0, (b, f))


class ResBlock(nn.Module):
    """Two 3-D convolutions around a shortcut, factorised into plane and height."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.plane = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        self.height = nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.height(torch.relu(self.plane(x))))


class DitBlock(nn.Module):
    """A transformer block whose norms are scaled, shifted and gated by the moment (adaLN-zero, Peebles and Xie 2023)."""

    def __init__(self, width: int, heads: int, ratio: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(approximate="tanh"), nn.Linear(ratio * width, width))
        self.adapt = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.adapt.weight)
        nn.init.zeros_(self.adapt.bias)

    def forward(self, tokens: Tensor, moment: Tensor) -> Tensor:
        """(N, T, C), (N, C) → (N, T, C)."""
        scale_a, shift_a, gate_a, scale_m, shift_m, gate_m = self.adapt(moment).unsqueeze(1).chunk(6, -1)
        n, t, c = tokens.shape
        q, k, v = self.qkv(self.norms[0](tokens) * (1 + scale_a) + shift_a).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        tokens = tokens + gate_a * self.out(mixed)
        out: Tensor = tokens + gate_m * self.mlp(self.norms[1](tokens) * (1 + scale_m) + shift_m)
        return out


def moment_features(moments_s: Tensor) -> Tensor:
    """Sines and cosines (…, 16) of moments (…) within the horizon."""
    octaves = 2.0 ** torch.arange(8, device=moments_s.device, dtype=moments_s.dtype) * (0.25 * math.pi / HORIZON_S)
    angles = moments_s.unsqueeze(-1) * octaves
    return torch.cat([angles.sin(), angles.cos()], -1)
