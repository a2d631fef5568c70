"""A transformer that reads the scene once and refines trajectories against it: one encoder, one decoder, four heads (the paper's Figure 9).

All heads answer `refine(x, t, scene)`: flow matching with the velocity, diffusion with the clean sample, act and vae with the trajectory
itself, for which x carries the latent. The decoder looks the maps up where the trajectory x leads, so that later steps of a solver see what
the earlier ones would hit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from astra.local_model.planning.config import GOAL_CAP_M, PlannerConfig
from astra.local_model.planning.flow import clean_estimate, interpolate
from astra.local_model.planning.trajectory import poses_from_steps, unscaled

FINE = 24  # channels of the maps' first features
KL_WEIGHT = {"act": 0.1, "vae": 0.02}


@dataclass(frozen=True, slots=True, eq=False)
class Scene2d:
    """What the planner knows. maps: (B, M + 1, Y, X), `planning.maps`. velocity: (B, H, 2) m/s, rad/s. goal: (B, 4) x, y, yaw, and 1 if it is final.

    features: (B, C, Y', X') of the eyes over the same square; None if the planner takes none.
    """

    maps: Tensor
    velocity: Tensor
    goal: Tensor
    features: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReadScene:
    """The scene as tokens (B, S, C), the maps themselves, their first features (B, FINE, Y/2, X/2), and the goal (B, 4)."""

    tokens: Tensor
    maps: Tensor
    fine: Tensor
    goal: Tensor

    def repeat(self, count: int) -> ReadScene:
        """Each scene `count` times in a row."""
        return ReadScene(*(x.repeat_interleave(count, 0) for x in (self.tokens, self.maps, self.fine, self.goal)))


class SceneEncoder(nn.Module):
    """Maps, velocities and goal to tokens that have conferred."""

    def __init__(self, config: PlannerConfig) -> None:
        super().__init__()
        self.config = c = config
        self.first = nn.Sequential(nn.Conv2d(len(c.maps.moments_s) + 1, FINE, 3, stride=2, padding=1), nn.GELU(approximate="tanh"))
        self.then = nn.Sequential(
            nn.Conv2d(FINE, 2 * FINE, 3, stride=2, padding=1), nn.GELU(approximate="tanh"), nn.Conv2d(2 * FINE, c.width, 3, stride=2, padding=1)
        )
        self.look = nn.AdaptiveAvgPool2d(c.maps.cells // 8) if c.features else None
        self.tell = nn.Conv2d(c.features, c.width, 1) if c.features else None
        self.register_buffer("where", _positions(c.maps.cells // 8, c.width), persistent=False)
        self.self_state = nn.Sequential(nn.Linear(2 * c.history, c.width), nn.GELU(approximate="tanh"), nn.Linear(c.width, c.width))
        self.goal = nn.Sequential(nn.Linear(7, c.width), nn.GELU(approximate="tanh"), nn.Linear(c.width, c.width))
        layer = nn.TransformerEncoderLayer(c.width, c.heads, 2 * c.width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.confer = nn.TransformerEncoder(layer, c.encoder_layers, enable_nested_tensor=False)

    def forward(self, scene: Scene2d) -> ReadScene:
        fine = self.first(scene.maps)
        cells = self.then(fine)
        if self.look is not None and self.tell is not None and scene.features is not None:
            cells = cells + self.tell(self.look(scene.features))
        cells = cells.flatten(2).transpose(1, 2) + self.where
        tokens = torch.cat([cells, self.self_state(scene.velocity.flatten(1))[:, None], self.goal(goal_features(scene.goal))[:, None]], 1)
        return ReadScene(self.confer(tokens), scene.maps, fine, scene.goal)


class Refiner(nn.Module):
    """What becomes of scaled steps x (N, T, 3) at t (N,) in scenes (N, …), or in one scene (1, …) for all of them, which costs half."""

    def __init__(self, config: PlannerConfig) -> None:
        super().__init__()
        self.config = c = config
        looked = len(c.maps.moments_s) + 1 + FINE
        self.step = nn.Linear(3 + looked + 7, c.width)
        self.order = nn.Parameter(0.02 * torch.randn(1, c.trajectory.steps, c.width))
        self.moment = nn.Sequential(nn.Linear(32, c.width), nn.SiLU(), nn.Linear(c.width, c.width))
        self.style = nn.Linear(c.latent, c.width) if c.head in ("act", "vae") else None
        layer = nn.TransformerDecoderLayer(c.width, c.heads, 2 * c.width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, c.decoder_layers, nn.LayerNorm(c.width))
        self.leave = nn.Linear(c.width, 3)

    def forward(self, x: Tensor, t: Tensor, scene: ReadScene) -> Tensor:
        c, latent = self.config, None
        if self.style is not None:
            latent, x = x.flatten(1)[:, : c.latent], torch.zeros_like(x)
        poses = poses_from_steps(unscaled(x, c.trajectory))
        at = poses[..., :2] / (0.5 * c.maps.size_m)
        seen = torch.cat([_looked_up(maps, self._shared(at, scene)) for maps in (scene.maps, scene.fine)], -1).view(*at.shape[:2], -1)
        left = (scene.goal[:, None, :2] - poses[..., :2]) / GOAL_CAP_M
        queries = self.step(torch.cat([x, seen, at, poses[..., 2:].cos(), poses[..., 2:].sin(), left, left.norm(dim=-1, keepdim=True)], -1))
        queries = queries + self.order + self.moment(time_features(t))[:, None]
        if self.style is not None and latent is not None:
            queries = queries + self.style(latent)[:, None]
        for layer in self.decoder.layers:
            queries = queries + layer._sa_block(layer.norm1(queries), None, None)
            asked = self._shared(layer.norm2(queries), scene)
            queries = queries + layer.multihead_attn(asked, scene.tokens, scene.tokens, need_weights=False)[0].view(queries.shape)
            queries = queries + layer._ff_block(layer.norm3(queries))
        out: Tensor = self.leave(self.decoder.norm(queries))
        return out

    @staticmethod
    def _shared(x: Tensor, scene: ReadScene) -> Tensor:
        """(N, T, C) as it is asked of N scenes, or as one long row (1, N·T, C) of one."""
        return x.reshape(1, -1, x.shape[-1]) if scene.tokens.shape[0] == 1 else x


class Planner(nn.Module):
    """Encoder, refiner, and what the head needs while it learns."""

    def __init__(self, config: PlannerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or PlannerConfig()
        self.encoder, self.refine = SceneEncoder(c), Refiner(c)
        size = 3 * c.trajectory.steps
        self.posterior = nn.Sequential(nn.Linear(size + c.width, 128), nn.GELU(), nn.Linear(128, 2 * c.latent)) if c.head in ("act", "vae") else None

    def losses(self, scene: ReadScene, data: Tensor, generator: torch.Generator | None = None) -> tuple[dict[str, Tensor], Tensor]:
        """The head's losses for demonstrations `data` (B, T, 3), scaled steps, and its one-step estimate of the clean ones (B, T, 3)."""
        c = self.config
        noise = torch.randn(data.shape, generator=generator, device=data.device)
        t = torch.rand(data.shape[0], generator=generator, device=data.device)
        if c.head == "flow":
            x_t, u = interpolate(noise, data, t)
            v = self.refine(x_t, t, scene)
            return {"flow": (v - u).square().mean()}, clean_estimate(x_t, v, t)
        if c.head == "diffusion":
            t = (t * c.noise_steps).floor() / c.noise_steps
            keep = kept(t).view(-1, 1, 1)
            clean = self.refine(keep.sqrt() * data + (1.0 - keep).sqrt() * noise, t, scene)
            return {"diffusion": (clean - data).square().mean()}, clean
        assert self.posterior is not None
        mean, log_spread = self.posterior(torch.cat([data.flatten(1), scene.tokens[:, -1]], 1)).chunk(2, 1)
        log_spread = log_spread.clamp(-5.0, 3.0)
        carried = torch.zeros_like(data).flatten(1)
        carried[:, : c.latent] = mean + log_spread.exp() * noise.flatten(1)[:, : c.latent]
        clean = self.refine(carried.view_as(data), torch.ones_like(t), scene)
        divergence = 0.5 * (mean.square() + (2.0 * log_spread).exp() - 2.0 * log_spread - 1.0).sum(1).mean()
        error = (clean - data).abs().mean() if c.head == "act" else (clean - data).square().mean()
        return {c.head: error, "kl": KL_WEIGHT[c.head] * divergence}, clean


def kept(t: Tensor) -> Tensor:
    """ᾱ of diffusion at t: 0 is noise, 1 is data, as in flow matching (cosine, Nichol and Dhariwal, 2021)."""
    return (0.5 * math.pi * (0.995 * (1.0 - t) + 0.004)).cos().square()


def goal_features(goal: Tensor) -> Tensor:
    """(B, 7): direction, capped distance, its nearness, the heading to arrive with if the goal is final, and whether it is."""
    distance = goal[:, :2].norm(dim=1, keepdim=True)
    direction = goal[:, :2] / distance.clamp(min=1e-3)
    final, yaw = goal[:, 3:], goal[:, 2:3]
    return torch.cat([direction, distance.clamp(max=GOAL_CAP_M) / GOAL_CAP_M, torch.exp(-distance), final * yaw.cos(), final * yaw.sin(), final], 1)


def time_features(t: Tensor) -> Tensor:
    """Sines and cosines (N, 32) of t (N,) in 0..1."""
    angles = t[:, None] * torch.exp(torch.linspace(0.0, math.log(200.0), 16, device=t.device, dtype=t.dtype))
    return torch.cat([angles.sin(), angles.cos()], 1)


def _looked_up(maps: Tensor, at: Tensor) -> Tensor:
    """(N, T, C): maps (N, C, Y, X) at points (N, T, 2), −1..1 from edge to edge."""
    found = torch.nn.functional.grid_sample(maps, at[:, None], mode="bilinear", padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def _positions(side: int, width: int) -> Tensor:
    """Fixed 2-D positions (1, side·side, width)."""
    quarter = width // 4
    rates = torch.exp(-torch.arange(quarter) * math.log(100.0) / quarter)
    along = torch.arange(side, dtype=torch.float32)[:, None] * rates
    one = torch.cat([along.sin(), along.cos()], 1)
    both = torch.cat([one[:, None].expand(side, side, -1), one[None].expand(side, side, -1)], -1)
    return both.reshape(1, side * side, -1)
