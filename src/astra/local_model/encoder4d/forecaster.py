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
RARE = -4.0  # logits: how likely a cell is walked into, before anything is learned


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What is worked out once, whatever the moments.

    fine: (B, Z, C, y, x), voxels at half resolution. coarse: (B, deep, y/2, x/2), columns. motion: (B, hidden, y, x), how the maps differ.
    sharp: (B, S, Y, X), cells at full resolution. so_far: (B, P + 1, Y, X), the maps of the past and of all looks together, 0..1.
    """

    fine: Tensor
    coarse: Tensor
    motion: Tensor
    sharp: Tensor
    so_far: Tensor

    def first(self, count: int) -> Past:
        """The same of the first samples of the batch."""
        return Past(*(part[:count] for part in (self.fine, self.coarse, self.motion, self.sharp, self.so_far)))


@dataclass(frozen=True, slots=True, eq=False)
class Foreseen:
    """At F moments, in the current base_link frame, as logits (B, F, Y, X): `maps`, what is occupied; `movers`, by somebody who walks."""

    maps: Tensor
    movers: Tensor


class Forecaster(nn.Module):
    """Volumes and maps at any moments within two seconds, as changes of the current ones: before training it says that nothing moves.

    Three-dimensional convolutions are factorised into the plane (every level alike) and the column (all levels of a cell at once): the same
    reach at a tenth of the time. Inside, tensors are (N, Z, C, Y, X). All but the little that depends on the moment is worked out once.
    Who walks is plainest in the maps of the past, and what stands in all looks together; both enter once more.
    """

    def __init__(self, levels: int = 6, config: ForecasterConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or ForecasterConfig()
        self.levels = levels
        self.slim = nn.Conv2d(levels * c.channels, levels * c.slim, 1, bias=False)
        self.enter = PlaneConv(c.past * (c.slim + 1), c.width, stride=2)
        self.fine = ResBlock(c.width, levels)
        self.squeeze = nn.Conv2d(levels * c.width, c.deep, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(c.deep, c.deep, 3, padding=1), nn.ReLU(inplace=True))
        self.moment = nn.Sequential(nn.Linear(2 * 8, c.deep), nn.SiLU(), nn.Linear(c.deep, c.deep), nn.SiLU())
        self.dit = nn.ModuleList(DitBlock(c.deep, c.heads) for _ in range(c.blocks))
        self.volume = VolumeChange(levels, c)
        self.map = MapChange(levels, c)

    def forward(self, volumes: Tensor, maps: Tensor, lasting: Tensor, known: Tensor, moments_s: Tensor) -> Foreseen:
        """Forecast maps.

        Args:
            volumes: (B, P, C, Z, Y, X), ego-motion-aligned, newest first.
            maps: (B, P, Y, X), what was said to be occupied, 0..1, aligned likewise.
            lasting: (B, Y, X), the mean of all looks so far, 0..1 (`memory.LastingMap`).
            known: (B, P), 1 where a volume was really there.
            moments_s: (B, F), 0..2 s from now.
        """
        return self.maps_ahead(self.take_in(self.slimmed(volumes), maps, lasting, known), moments_s)

    def slimmed(self, volumes: Tensor) -> Tensor:
        """(B, P, C, Z, Y, X) → (B, P, S·Z, Y, X), cell by cell and linear, so that it makes no difference whether it is done before they are moved."""
        out: Tensor = self.slim(volumes.flatten(2, 3).flatten(0, 1)).unflatten(0, volumes.shape[:2])
        return out

    def take_in(self, slim: Tensor, maps: Tensor, lasting: Tensor, known: Tensor) -> Past:
        """Slimmed volumes (B, P, S·Z, Y, X) and maps to what all moments share."""
        b, p, _, y, x = slim.shape
        c = self.config
        maps = torch.where(maps < NOWHERE, maps[:, :1], maps)
        marks = known.view(b, p, 1, 1, 1, 1).expand(b, p, self.levels, 1, y, x)
        cells = torch.cat([slim.unflatten(2, (self.levels, c.slim)), marks], 3)  # (B, P, Z, C + 1, Y, X)
        fine = self.fine(torch.relu(self.enter(cells.transpose(1, 2).flatten(2, 3))))
        so_far = torch.cat([maps, lasting[:, None]], 1)
        motion = self.map.motion(torch.cat([so_far, known[:, :, None, None].expand_as(maps)], 1))
        sharp = self.map.sharp(torch.cat([slim[:, 0], slim.mean(1), so_far], 1))
        return Past(fine, self.coarse(self.squeeze(fine.flatten(1, 2))), motion, sharp, so_far)

    def maps_ahead(self, past: Past, moments_s: Tensor) -> Foreseen:
        """Logits of the maps at moments (B, F)."""
        moment, deep = self._deep(past, moments_s)
        out = self.map(past, deep, moment, moments_s.shape[1]).unflatten(0, moments_s.shape)
        return Foreseen(out[:, :, 0], out[:, :, 1])

    def volumes_ahead(self, past: Past, current: Tensor, moments_s: Tensor) -> Tensor:
        """Volumes (B, F, C, Z, Y, X) at moments (B, F), of the `current` one (B, C, Z, Y, X)."""
        moment, deep = self._deep(past, moments_s)
        change = self.volume(past.fine, deep, moment, moments_s.shape[1], current.shape[-2:])
        return current[:, None] + change.unflatten(0, moments_s.shape)

    def _deep(self, past: Past, moments_s: Tensor) -> tuple[Tensor, Tensor]:
        """Of each moment its features (B·F, deep), and the coarse plane at it (B·F, deep, y, x)."""
        moment = self.moment(moment_features(moments_s)).flatten(0, 1)
        tokens = past.coarse.flatten(2).transpose(1, 2).repeat_interleave(moments_s.shape[1], 0)
        for block in self.dit:
            tokens = block(tokens, moment)
        return moment, tokens.transpose(1, 2).unflatten(2, past.coarse.shape[2:])


class VolumeChange(nn.Module):
    """The pyramid's way back to voxels: the change of the current volume."""

    def __init__(self, levels: int, c: ForecasterConfig) -> None:
        super().__init__()
        self.modulate = nn.Linear(c.deep, 2 * c.width)
        self.merge = nn.Conv2d(c.deep, levels * c.width, 1)
        self.smooth = ResBlock(c.width, levels)
        self.leave = nn.Conv2d(c.width, 4 * c.channels, 3, padding=1)  # four cells of the full resolution each
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, fine: Tensor, deep: Tensor, moment: Tensor, f: int, shape: torch.Size) -> Tensor:
        """(B, Z, C, y, x), (B·F, deep, y/2, x/2), (B·F, deep) → (B·F, C, Z, Y, X)."""
        z = fine.shape[1]
        scale, shift = self.modulate(moment)[:, None, :, None, None].chunk(2, 2)
        above = nn.functional.interpolate(self.merge(deep), size=fine.shape[3:], mode="nearest").unflatten(1, (z, -1))
        merged = self.smooth(fine.repeat_interleave(f, 0) * (1.0 + scale) + shift + above)
        cells = nn.functional.pixel_shuffle(self.leave(merged.flatten(0, 1)), 2)[..., : shape[0], : shape[1]]
        return cells.unflatten(0, (-1, z)).transpose(1, 2)


class MapChange(nn.Module):
    """Logits of the map ahead: those of the maps so far, blended, and a change, from the pyramid and from how the maps of the past differ."""

    def __init__(self, levels: int, c: ForecasterConfig) -> None:
        super().__init__()
        hidden, small, so_far = c.hidden, c.hidden // 2, c.past + 1
        self.motion = nn.Sequential(
            nn.Conv2d(2 * c.past + 1, small, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(small, hidden, 3, stride=2, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=2, dilation=2),
        )  # fmt: skip
        self.sharp = nn.Sequential(
            nn.Conv2d(2 * levels * c.slim + so_far, c.sharp, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(c.sharp, c.sharp, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.lateral, self.above = nn.Conv2d(levels * c.width, hidden, 1), nn.Conv2d(c.deep, hidden, 1)
        self.modulate = nn.Linear(c.deep, 2 * hidden)
        self.mix = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(hidden, 4 * small, 1))
        self.near, self.ahead = nn.Conv2d(c.sharp + so_far, small, 3, padding=1), nn.Conv2d(small, small, 3, padding=1, bias=False)
        self.leave = nn.Conv2d(small, 2, 3, padding=1)
        self.blend = nn.Linear(c.deep, so_far)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.blend.weight)
        with torch.no_grad():
            self.leave.bias.copy_(torch.tensor([0.0, RARE]))
            self.blend.bias.copy_(torch.cat([-0.5 * torch.arange(c.past), torch.ones(1)]))

    def forward(self, past: Past, deep: Tensor, moment: Tensor, f: int) -> Tensor:
        """(B·F, deep, y/2, x/2) and (B·F, deep) → (B·F, 2, Y, X)."""
        y, x = past.so_far.shape[2:]
        shared = past.motion + self.lateral(past.fine.flatten(1, 2))
        scale, shift = self.modulate(moment)[:, :, None, None].chunk(2, 1)
        above = nn.functional.interpolate(self.above(deep), size=shared.shape[2:], mode="nearest")
        mixed = self.mix(torch.relu(shared.repeat_interleave(f, 0) * (1.0 + scale) + shift + above))
        cells = nn.functional.pixel_shuffle(mixed, 2)[..., :y, :x]
        near = self.near(torch.cat([past.sharp, past.so_far], 1)).repeat_interleave(f, 0)
        change = self.leave(torch.relu(self.ahead(cells) + near))
        shares = self.blend(moment).softmax(1)[:, :, None, None]
        so_far = (torch.logit(past.so_far, eps=SURE).repeat_interleave(f, 0) * shares).sum(1)
        return torch.cat([so_far[:, None] + change[:, :1], change[:, 1:]], 1)


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
