"""The 4-D encoder: aligned past volumes → 3-D-conv ResNet → blocks conditioned on the future moment → feature pyramid → future volumes and maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from astra.local_model.config import ForecasterConfig

HORIZON_S = 2.0
SURE = 0.01  # no map is surer than this
NOWHERE = 1e-3  # what a moved map says of cells that it did not reach


@dataclass(frozen=True, slots=True, eq=False)
class Foreseen:
    """At F moments, in the current base_link frame: `volumes` (B, F, C, Z, Y, X), and `maps` (B, F, Y, X), logits of what is occupied."""

    volumes: Tensor
    maps: Tensor


class Forecaster(nn.Module):
    """Volumes and maps at any moments within two seconds, as changes of the current ones: before training it says that nothing moves.

    Three-dimensional convolutions are factorised into the plane (every level alike) and the column (all levels of a cell at once): the same
    reach at a tenth of the time. Inside, tensors are (N, Z, C, Y, X). Who walks is plainest in the maps of the past, which enter once more.
    """

    def __init__(self, levels: int = 6, config: ForecasterConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or ForecasterConfig()
        half = (levels + 1) // 2
        self.enter = PlaneConv(c.past * (c.channels + 1), c.width, stride=2)
        self.fine = ResBlock(c.width, levels)
        self.squeeze = nn.Conv2d(levels * c.width, half * c.deep, 3, stride=2, padding=1)
        self.coarse = ResBlock(c.deep, half)
        self.moment = nn.Sequential(nn.Linear(2 * 8, c.deep), nn.SiLU(), nn.Linear(c.deep, c.deep), nn.SiLU())
        self.dit = nn.ModuleList(DitBlock(c.deep, c.heads) for _ in range(c.blocks))
        self.modulate = nn.Linear(c.deep, 2 * c.width)
        self.merge = nn.Conv2d(half * c.deep, levels * c.width, 1)
        self.smooth = ResBlock(c.width, levels)
        self.leave = nn.Conv2d(c.width, 4 * c.channels, 3, padding=1)  # four cells of the full resolution each
        self.map = MapChange(levels * c.width, c.past, c.deep)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, volumes: Tensor, maps: Tensor, known: Tensor, moments_s: Tensor) -> Foreseen:
        """Forecast.

        Args:
            volumes: (B, P, C, Z, Y, X), ego-motion-aligned, newest first.
            maps: (B, P, Y, X), what was said to be occupied, 0..1, aligned likewise.
            known: (B, P), 1 where a volume was really there.
            moments_s: (B, F), 0..2 s from now.
        """
        b, p, _, z, y, x = volumes.shape
        f = moments_s.shape[1]
        marks = known.view(b, p, 1, 1, 1, 1).expand(b, p, 1, z, y, x)
        fine = self.fine(torch.relu(self.enter(torch.cat([volumes, marks], 2).flatten(1, 2).transpose(1, 2))))
        coarse = self.coarse(torch.relu(self.squeeze(fine.flatten(1, 2))).unflatten(1, (-1, self.config.deep)))
        moment = self.moment(moment_features(moments_s)).flatten(0, 1)  # (B·F, deep)
        tokens = coarse.transpose(1, 2).flatten(2).transpose(1, 2).repeat_interleave(f, 0)
        for block in self.dit:
            tokens = block(tokens, moment)
        deep = tokens.transpose(1, 2).unflatten(2, (coarse.shape[1], *coarse.shape[3:])).transpose(1, 2)
        scale, shift = self.modulate(moment)[:, None, :, None, None].chunk(2, 2)
        lateral = fine.repeat_interleave(f, 0) * (1.0 + scale) + shift
        above = nn.functional.interpolate(self.merge(deep.flatten(1, 2)), size=fine.shape[3:], mode="nearest")
        merged = self.smooth(lateral + above.unflatten(1, (z, -1)))
        change = nn.functional.pixel_shuffle(self.leave(merged.flatten(0, 1)), 2)[..., :y, :x].unflatten(0, (b, f, z)).transpose(2, 3)
        foreseen = self.map(merged.flatten(1, 2), maps, known, moment, f)
        return Foreseen(volumes[:, :1] + change, foreseen.unflatten(0, (b, f)))


class MapChange(nn.Module):
    """Logits of the map ahead: those of the maps so far, blended, and a change, from the merged features and from how the maps of the past differ."""

    def __init__(self, folded: int, past: int, deep: int, hidden: int = 48, fine: int = 12) -> None:
        super().__init__()
        self.motion = nn.Sequential(
            nn.Conv2d(2 * past, 24, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(24, hidden, 3, stride=2, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=2, dilation=2),
        )  # fmt: skip
        self.modulate = nn.Linear(deep, 2 * hidden)
        self.blend = nn.Linear(deep, past)
        self.mix = nn.Sequential(
            nn.Conv2d(folded + hidden, hidden, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(hidden, 4 * fine, 1),
        )  # fmt: skip
        self.leave = nn.Sequential(nn.Conv2d(fine + past, 2 * fine, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(2 * fine, 1, 3, padding=1))
        last = self.leave[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        nn.init.zeros_(self.blend.weight)
        with torch.no_grad():
            self.blend.bias.copy_(-0.5 * torch.arange(past))

    def forward(self, merged: Tensor, maps: Tensor, known: Tensor, moment: Tensor, f: int) -> Tensor:
        """(B·F, Z·C, y, x) at half resolution, (B, P, Y, X), (B, P) and (B·F, deep) → (B·F, Y, X)."""
        _, _, y, x = maps.shape
        maps = torch.where(maps < NOWHERE, maps[:, :1], maps)
        motion = self.motion(torch.cat([maps, known[:, :, None, None].expand_as(maps)], 1)).repeat_interleave(f, 0)
        scale, shift = self.modulate(moment)[:, :, None, None].chunk(2, 1)
        mixed = self.mix(torch.cat([merged, torch.relu(motion * (1.0 + scale) + shift)], 1))
        wide = torch.cat([nn.functional.pixel_shuffle(mixed, 2)[..., :y, :x], maps.repeat_interleave(f, 0)], 1)
        shares = self.blend(moment).softmax(1)[:, :, None, None]
        so_far = (torch.logit(maps, eps=SURE).repeat_interleave(f, 0) * shares).sum(1)
        out: Tensor = so_far + self.leave(wide)[:, 0]
        return out


class PlaneConv(nn.Module):
    """A 3×3 convolution in the plane, every level alike: (N, Z, C, Y, X) → (N, Z, C', Y', X')."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return out


class ResBlock(nn.Module):
    """Plane, then column, around a shortcut: (N, Z, C, Y, X) → the same."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.plane = PlaneConv(width, width)
        self.column = nn.Conv2d(levels * width, levels * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.column(torch.relu(self.plane(x)).flatten(1, 2)).unflatten(1, x.shape[1:3])
        return torch.relu(x + mixed)


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
