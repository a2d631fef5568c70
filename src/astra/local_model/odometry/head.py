"""The odometry head: a token for each sensor and step, a transformer over the last steps, the newest step's motion and its covariance (paper 3.2.3).

Unlike the paper's it says how far it may be wrong: besides the motion it gives a Cholesky factor L of its covariance, and is trained by

    −log p(e) = ½ |L⁻¹ e|² + Σ log Lᵢᵢ + const,   e = motion − truth

after a warm-up with L1. A sensor that is missing is a token of its own, so that any subset gives an answer.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from astra.local_model.encoder3d.vit import Block
from astra.local_model.odometry.config import IMU_COLUMNS, METRES, MODALITIES, POINT_COLUMNS, RADIANS, WHEEL_COLUMNS, OdometryHeadConfig

_FAINT = 1e-3  # variance of the matches of a cell that sees nothing
_SMALLEST, _LARGEST = -7.0, 3.0  # of the logarithm of a deviation, in the network's units


class Correlation(nn.Module):
    """How well each cell's features match those of the frame before, at every offset of a window: (B, C, Y, X) twice → (B, window², Y, X).

    A motion of less than a cell moves the matches by little: each cell's are made to have mean 0 and, unless all are alike, deviation 1.
    """

    def __init__(self, channels: int, projected: int, window: int) -> None:
        super().__init__()
        self.project, self.reach, self.window = nn.Conv2d(channels, projected, 1), window // 2, window

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        a, b = (nn.functional.normalize(self.project(x), dim=1, eps=1e-3) for x in (before, now))
        rows, columns = a.shape[-2:]
        wide = nn.functional.pad(a, (self.reach,) * 4)
        offsets = [(dy, dx) for dy in range(self.window) for dx in range(self.window)]
        volume = torch.stack([(wide[..., dy : dy + rows, dx : dx + columns] * b).sum(1) for dy, dx in offsets], dim=1)
        contrast = volume - volume.mean(1, keepdim=True)
        return contrast / (contrast.square().mean(1, keepdim=True) + _FAINT).sqrt()


class StepTokens(nn.Module):
    """The tokens of B steps.

    Everything in it looks at one step alone: on the robot each step is made once and kept.
    """

    def __init__(self, config: OdometryHeadConfig) -> None:
        super().__init__()
        self.config = c = config
        self.correlation = Correlation(c.feature_channels, c.projected, c.window)
        wide = [c.window**2, 48, 48, 32]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(wide):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.GELU(approximate="tanh")]
        self.flow = nn.Sequential(*layers, nn.Flatten(), nn.Linear(wide[-1] * (c.cells // 8) ** 2, c.width))
        self.told = nn.Sequential(nn.Linear(POINT_COLUMNS, c.width), nn.GELU(approximate="tanh"), nn.Linear(c.width, c.width)) if c.points else None
        self.imu, self.imu_out = nn.LSTM(IMU_COLUMNS, c.memory, batch_first=True), nn.Linear(c.memory, c.width)
        self.wheel, self.wheel_out = nn.LSTM(WHEEL_COLUMNS, c.memory, batch_first=True), nn.Linear(c.memory, c.width)
        self.lasting = nn.Linear(1, c.width)

    def forward(self, before: Tensor, now: Tensor, points: Tensor, imu: Tensor, wheel: Tensor, lasts_s: Tensor) -> Tensor:
        """(B, C, Y, X) features of two frames, (B, 14) points' motion, (B, I, 8) and (B, W, 4) rows, (B,) how long the step lasts [s] → (B, 3, width)."""
        return self.tokens(self.seen(before, now), points, imu, wheel, lasts_s)

    def seen(self, before: Tensor, now: Tensor) -> Tensor:
        """(B, width): what the eyes' features of two frames say."""
        out: Tensor = self.flow(self.correlation(before, now))
        return out

    def tokens(self, seen: Tensor, points: Tensor, imu: Tensor, wheel: Tensor, lasts_s: Tensor) -> Tensor:
        """(B, 3, width): vision, IMU, wheels."""
        seen = seen + (self.told(points) if self.told is not None else 0.0 * points[:, :1])  # an input that is not used stays one
        felt = self.imu_out(self.imu(imu)[0][:, -1])
        rolled = self.wheel_out(self.wheel(wheel)[0][:, -1])
        return torch.stack([seen, felt, rolled], dim=1) + self.lasting(lasts_s[:, None])[:, None]


class MotionHead(nn.Module):
    """Tokens of the last steps → motion of the newest, base_from_base′, and the Cholesky factor of its covariance."""

    def __init__(self, config: OdometryHeadConfig) -> None:
        super().__init__()
        self.config = c = config
        kinds, n = len(MODALITIES), c.freedoms
        self.absent = nn.Parameter(0.02 * torch.randn(kinds, c.width))
        self.kind, self.time = nn.Parameter(0.02 * torch.randn(kinds, c.width)), nn.Parameter(0.02 * torch.randn(c.steps, c.width))
        self.asker = nn.Parameter(0.02 * torch.randn(1, 1, c.width))
        self.blocks, self.norm = nn.Sequential(*(Block(c.width, c.heads) for _ in range(c.depth))), nn.LayerNorm(c.width)
        self.out = nn.Linear(c.width, n + n * (n + 1) // 2)
        lower = torch.tril_indices(n, n)
        place = torch.zeros(n * (n + 1) // 2, n, n)
        place[torch.arange(place.shape[0]), lower[0], lower[1]] = 1.0
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("units", torch.tensor(c.units), persistent=False)

    def forward(self, tokens: Tensor, there: Tensor, points: Tensor, imu: Tensor, wheel: Tensor, lasts_s: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, 3, width), the newest step last, and (B, T, 3), 1 where a sensor was there; of the newest step alone (B, 14) points, (B, I, 8) and (B, W, 4)
        rows, (B,) duration [s] → (B, n) motion [m, rad] and (B, n, n) L in the same units.
        """
        b, t, k, w = tokens.shape
        known = there[..., None]
        marked = tokens * known + self.absent * (1.0 - known) + self.kind + self.time[:, None]
        read = torch.cat([self.asker.expand(b, -1, -1), marked.reshape(b, t * k, w)], 1)
        told = self.out(self.norm(self.blocks(read)[:, 0]))
        n = self.config.freedoms
        full = torch.einsum("bm,mij->bij", told[:, n:], self.place)
        eye = torch.eye(n, dtype=full.dtype, device=full.device)
        factor = full * (1.0 - eye) + full.clamp(_SMALLEST, _LARGEST).exp() * eye
        motion = told[:, :n] * self.units
        guess = self._guess(there[:, -1], points, imu, wheel, lasts_s[:, None])
        return motion + float(self.config.points) * guess, factor * self.units[:, None]

    def _guess(self, there: Tensor, points: Tensor, imu: Tensor, wheel: Tensor, lasts_s: Tensor) -> Tensor:
        """(B, n): the points' motion, without them the wheels' way and the gyro's turn, or the wheels'; nought of what no sensor tells."""
        seen, felt, rolled = there[:, :1] * points[:, :1], there[:, 1:2], there[:, 2:]
        gyro, speed, turn = _mean(imu, 4), _mean(wheel, 2), _mean(wheel, 3)
        yaw = (felt * gyro + (1.0 - felt) * rolled * turn) * lasts_s
        way = rolled * speed * lasts_s
        told = points[:, 1:4] * points.new_tensor((METRES, METRES, RADIANS))
        planar = seen * told + (1.0 - seen) * torch.cat([way * (0.5 * yaw).cos(), way * (0.5 * yaw).sin(), yaw], dim=1)
        if not self.config.spatial:
            return planar
        return torch.cat([planar[:, :2], torch.zeros_like(planar), planar[:, 2:]], dim=1)


def _mean(rows: Tensor, column: int) -> Tensor:
    """(B, 1): of the readings that are there."""
    valid = rows[..., 0]
    return (rows[..., column] * valid).sum(1, keepdim=True) / (valid.sum(1, keepdim=True) + 1e-6)


class OdometryHead(nn.Module):
    """Both parts: what is trained."""

    def __init__(self, config: OdometryHeadConfig | None = None) -> None:
        super().__init__()
        self.config = config or OdometryHeadConfig()
        self.steps, self.motion = StepTokens(self.config), MotionHead(self.config)

    def forward(self, vision: Tensor, points: Tensor, imu: Tensor, wheel: Tensor, lasts_s: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """As `MotionHead`.

        Args:
            vision: (B, T + 1, C, Y, X) frames, the newest last, or (B, T, width) of `StepTokens.seen`.
            points: (B, T, 14). imu: (B, T, I, 8). wheel: (B, T, W, 4). lasts_s: (B, T) [s]. there: (B, T, 3).
        """
        b, t = lasts_s.shape
        if vision.ndim == 5:
            vision = self.steps.seen(vision[:, :-1].flatten(0, 1), vision[:, 1:].flatten(0, 1)).unflatten(0, (b, t))
        tokens = self.steps.tokens(vision.flatten(0, 1), points.flatten(0, 1), imu.flatten(0, 1), wheel.flatten(0, 1), lasts_s.flatten())
        out: tuple[Tensor, Tensor] = self.motion(tokens.unflatten(0, (b, t)), there, points[:, -1], imu[:, -1], wheel[:, -1], lasts_s[:, -1])
        return out


def l1(motion: Tensor, truth: Tensor, units: Tensor) -> Tensor:
    """The mean absolute error, in the network's units."""
    return ((motion - truth).abs() / units).mean()


def nll(motion: Tensor, factor: Tensor, truth: Tensor, units: Tensor) -> Tensor:
    """The mean negative log likelihood of the error, for each freedom and in the network's units."""
    scaled = factor / units[:, None]
    whitened = torch.linalg.solve_triangular(scaled, ((motion - truth) / units)[..., None], upper=False)[..., 0]
    return (0.5 * whitened.square() + scaled.diagonal(dim1=-2, dim2=-1).log()).mean()
