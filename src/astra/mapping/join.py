"""Whether two maps show the same place, and how they lie to each other: many independent answers, the largest set that agrees, and what speaks against it.

One place that looks like another gives one wrong answer, a whole building of its kind gives many. So agreement alone joins nothing: the
answers must come from places apart, hardly any may contradict, no rival set may be nearly as large, images that then show the same spot must
share features, and walls must not stand where the other robot drove. A refused join costs little, a wrong one makes the map a lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray, IntArray
from astra.geometry import Pose3, Similarity
from astra.mapping.hypotheses import Hypothesis
from astra.mapping.scale import UNKNOWN_UNIT


@dataclass(frozen=True, slots=True)
class JoinConfig:
    """What agreement is, and how much of it joins. Lengths are metres."""

    position_m: float = 0.25  # between two answers about the same place …
    drift: float = 0.02  # … and this much a metre between their places
    angle_rad: float = math.radians(4.0)
    scale_ratio: float = 1.25  # between two answers about an unknown scale
    spacing_m: float = 0.4  # answers nearer than this to each other count as one
    min_places: int = 5
    min_extent_m: float = 1.2  # of the places that agree
    max_contradiction: float = 0.4  # share of the answering places that say otherwise
    max_rival: float = 0.5  # size of the next largest set that agrees on something else
    position_sigma_m: float = 0.03  # of one answer: the maps' own bending included
    angle_sigma_rad: float = math.radians(0.5)
    scale_sigma: float = 0.01  # of a map's metres where the map does not say
    max_scale_error: float = 0.04  # two metric maps whose metres differ by more are not joined
    max_tilt_rad: float = math.radians(4.0)  # between two maps of a robot that stands upright

    def __post_init__(self) -> None:
        require(self.position_m > 0.0, "position_m", self.position_m, "> 0")
        require(self.drift >= 0.0, "drift", self.drift, "≥ 0")
        require(0.0 < self.angle_rad < math.pi, "angle_rad", self.angle_rad, "in (0, π)")
        require(self.scale_ratio > 1.0, "scale_ratio", self.scale_ratio, "> 1")
        require(self.spacing_m > 0.0, "spacing_m", self.spacing_m, "> 0")
        require(self.min_places >= 2, "min_places", self.min_places, "≥ 2")
        require(self.min_extent_m > 0.0, "min_extent_m", self.min_extent_m, "> 0")
        require(0.0 <= self.max_contradiction < 1.0, "max_contradiction", self.max_contradiction, "in [0, 1)")
        require(0.0 <= self.max_rival < 1.0, "max_rival", self.max_rival, "in [0, 1)")
        require(self.position_sigma_m > 0.0, "position_sigma_m", self.position_sigma_m, "> 0")
        require(self.angle_sigma_rad > 0.0, "angle_sigma_rad", self.angle_sigma_rad, "> 0")
        require(0.0 < self.scale_sigma < 0.5, "scale_sigma", self.scale_sigma, "in (0, 0.5)")
        require(self.max_scale_error > 0.0, "max_scale_error", self.max_scale_error, "> 0")
        require(self.max_tilt_rad > 0.0, "max_tilt_rad", self.max_tilt_rad, "> 0")


@dataclass(frozen=True, slots=True)
class Frames:
    """What is known of the two maps beforehand: metres in both, the scales' joint sigma, and whether both stand upright on z = 0."""

    metric: bool
    scale_sigma: float
    level: bool

    @property
    def unit(self) -> float:
        """One metre in A's unit, or what stands for it."""
        return 1.0 if self.metric else UNKNOWN_UNIT


@dataclass(frozen=True, slots=True, eq=False)
class Consensus:
    """A motion that many nodes agree on.

    residual_m: (K,) by how much each member misses it. places: members that lie apart. extent: of their places, in A's unit.
    contradicting: places that say otherwise. rival: size of the next largest set against this one, in places.
    """

    a_from_b: Similarity
    members: tuple[Hypothesis, ...]
    residual_m: FloatArray
    places: int
    extent: float
    contradicting: int
    rival: float


def consensus(answers: Sequence[Hypothesis], frames: Frames, config: JoinConfig) -> Consensus | None:
    """The largest set of answers that agree, with the motion that fits them best; None if no two agree."""
    if len(answers) < 2:
        return None
    agree = _agreement(answers, frames, config)
    chosen = _largest(agree, answers)
    motion = fit([answers[int(k)] for k in np.flatnonzero(chosen)], frames, config)
    for _ in range(3):
        again = _agrees_with(motion, answers, chosen, frames, config)
        if int(again.sum()) < 2 or np.array_equal(again, chosen):
            break
        chosen = again
        motion = fit([answers[int(k)] for k in np.flatnonzero(chosen)], frames, config)
    members = tuple(answers[int(k)] for k in np.flatnonzero(chosen))
    kept = {m.node_id for m in members}
    others = [h for h, taken in zip(answers, chosen) if not taken and h.node_id not in kept]
    spacing = config.spacing_m * frames.unit / motion.scale
    places = _places(members, spacing)
    positions = np.array([m.a_from_cam.translation for m in members])
    rival = 0
    if len(others) >= 2:
        rest = _largest(_agreement(others, frames, config), others)
        rival = _places([others[int(k)] for k in np.flatnonzero(rest)], spacing)
    residual = np.array([np.linalg.norm(motion.apply(m.b_from_cam.translation) - m.a_from_cam.translation) for m in members])
    extent = float(np.linalg.norm(np.ptp(positions, axis=0)))
    return Consensus(motion, members, residual, places, extent, _places(others, spacing), rival / max(places, 1))


def objections(found: Consensus, frames: Frames, config: JoinConfig) -> list[str]:
    """Why the agreement does not suffice; empty if it does."""
    out = []
    if found.places < config.min_places:
        out.append(f"only {found.places} places agree, {config.min_places} are needed")
    if found.extent < config.min_extent_m * frames.unit:
        out.append(f"the places that agree lie within {found.extent:.2f} {'m' if frames.metric else 'units'} of each other: one object can look so")
    share = found.contradicting / max(found.contradicting + found.places, 1)
    if share > config.max_contradiction:
        out.append(f"{found.contradicting} places say otherwise, {found.places} agree")
    if found.rival > config.max_rival:
        out.append(f"another way to lay the maps has {100 * found.rival:.0f} % of the support: the place looks alike in two spots")
    if frames.level and found.a_from_b.tilt_rad() > config.max_tilt_rad:
        out.append(f"one floor would be tilted by {math.degrees(found.a_from_b.tilt_rad()):.1f}°")
    if frames.metric and abs(math.log(found.a_from_b.scale)) > config.max_scale_error:
        out.append(f"the maps' metres differ by {100 * (found.a_from_b.scale - 1.0):+.1f} %")
    return out


def fit(members: Sequence[Hypothesis], frames: Frames, config: JoinConfig) -> Similarity:
    """The motion a_from_b that fits the answers best, robustly.

    Minimises Σ ρ(‖s·R·b + t − a‖² / σ_p²) + ‖log(R_aᵀ R R_b)‖² / σ_r² + (log s − log s₀)² / σ_s² by Gauss-Newton; level maps only turn about z.
    """
    motion = _start(members)
    b, a = np.array([m.b_from_cam.translation for m in members]), np.array([m.a_from_cam.translation for m in members])
    log_scale = np.array([math.log(m.scale) for m in members])
    sigma_p = config.position_sigma_m * frames.unit
    free = [0, 1, 2, 3, 4, 5, 6] if not frames.level else [2, 3, 4, 6]
    if frames.level:
        motion = _level(motion, a, b)
    for _ in range(20):
        turned = motion.scale * b @ motion.rotation.T
        miss = a - turned - motion.translation
        weight = 1.0 / (1.0 + (miss**2).sum(axis=1) / (2.0 * sigma_p) ** 2)
        jacobian = np.zeros((len(members), 3, 7))  # rotation (left), translation, log scale
        jacobian[:, :, :3] = -_cross(turned)
        jacobian[:, :, 3:6] = np.eye(3)
        jacobian[:, :, 6] = turned
        information = np.einsum("n,nij,nik->jk", weight / sigma_p**2, jacobian, jacobian)
        right = np.einsum("n,nij,ni->j", weight / sigma_p**2, jacobian, miss)
        turn = np.array([_log(m.a_from_cam.rotation @ (motion.rotation @ m.b_from_cam.rotation).T) for m in members])
        steady = weight / (1.0 + (turn**2).sum(axis=1) / (3.0 * config.angle_sigma_rad) ** 2)
        information[:3, :3] += steady.sum() / config.angle_sigma_rad**2 * np.eye(3)
        right[:3] += steady @ turn / config.angle_sigma_rad**2
        known, sigma_s = (0.0, frames.scale_sigma) if frames.metric else (float(np.median(log_scale)), 0.1)
        information[6, 6] += 1.0 / sigma_s**2
        right[6] += (known - math.log(motion.scale)) / sigma_s**2
        step = np.zeros(7)
        step[free] = np.linalg.solve(information[np.ix_(free, free)], right[free])
        rotation = _exp(step[:3]) @ motion.rotation
        motion = Similarity(motion.scale * math.exp(step[6]), rotation, motion.translation + step[3:6])
        if float(np.abs(step).max()) < 1e-9:
            break
    return motion


def _agreement(answers: Sequence[Hypothesis], frames: Frames, config: JoinConfig) -> BoolArray:
    """(H, H): whether answer i, taken as the truth, explains answer j."""
    agree = np.array([_explained(h.a_from_b, h.b_from_cam.translation[None], answers, frames, config) for h in answers])
    return np.asarray(agree | agree.T)


def _agrees_with(motion: Similarity, answers: Sequence[Hypothesis], chosen: BoolArray, frames: Frames, config: JoinConfig) -> BoolArray:
    near = np.array([answers[int(k)].b_from_cam.translation for k in np.flatnonzero(chosen)])
    return _explained(motion, near, answers, frames, config)


def _explained(motion: Similarity, near: FloatArray, answers: Sequence[Hypothesis], frames: Frames, config: JoinConfig) -> BoolArray:
    """Which answers the motion explains; the bound grows with the distance from the places `near` (N, 3) that it comes from."""
    b = np.array([h.b_from_cam.translation for h in answers])
    a = np.array([h.a_from_cam.translation for h in answers])
    away = np.linalg.norm(b[:, None] - near, axis=2).min(axis=1) * motion.scale
    miss = np.linalg.norm(motion.apply(b) - a, axis=1)
    turn = np.array([h.a_from_cam.angle_to(motion.carry(h.b_from_cam)) for h in answers])
    ratio = np.abs(np.log([h.scale / motion.scale for h in answers]))
    alike = ratio < math.log(config.scale_ratio)
    explained: BoolArray = (miss <= config.position_m * frames.unit + config.drift * away) & (turn <= config.angle_rad) & alike
    return explained


def _largest(agree: BoolArray, answers: Sequence[Hypothesis]) -> BoolArray:
    """The answer that most support explains, with those it explains; support is inliers, of which a single view has only so many."""
    support = agree @ np.minimum([h.inliers for h in answers], 100)
    chosen: BoolArray = agree[int(np.argmax(support))]
    return chosen


def _places(members: Sequence[Hypothesis], spacing: float) -> int:
    """How many of the members' nodes lie at least `spacing` apart from one another, greedily."""
    kept: list[FloatArray] = []
    for m in members:
        if all(np.linalg.norm(m.b_from_cam.translation - other) >= spacing for other in kept):
            kept.append(m.b_from_cam.translation)
    return len(kept)


def _start(members: Sequence[Hypothesis]) -> Similarity:
    """The mean rotation, median scale and the translation that follows."""
    u, _, vt = np.linalg.svd(np.sum([m.a_from_b.rotation for m in members], axis=0))
    rotation = u @ np.diag([1.0, 1.0, float(np.linalg.det(u @ vt))]) @ vt
    scale = float(np.median([m.scale for m in members]))
    shift = [m.a_from_cam.translation - scale * rotation @ m.b_from_cam.translation for m in members]
    return Similarity(scale, rotation, np.median(shift, axis=0))


def _level(motion: Similarity, a: FloatArray, b: FloatArray) -> Similarity:
    """The motion without its tilt and height, if they are as small as noise."""
    if motion.tilt_rad() > math.radians(15.0):
        return motion
    yaw = Pose3(motion.rotation).pose2().yaw
    rotation = np.array([[math.cos(yaw), -math.sin(yaw), 0.0], [math.sin(yaw), math.cos(yaw), 0.0], [0.0, 0.0, 1.0]])
    shift = np.median(a - motion.scale * b @ rotation.T, axis=0)
    return Similarity(motion.scale, rotation, np.array([shift[0], shift[1], 0.0]))


def _cross(v: FloatArray) -> FloatArray:
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = v[:, 2], -v[:, 1], v[:, 0]
    return out


def _log(rotation: FloatArray) -> FloatArray:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec(), dtype=np.float64)


def _exp(vector: FloatArray) -> FloatArray:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vector).as_matrix(), dtype=np.float64)


def distinct_nodes(members: Sequence[Hypothesis]) -> IntArray:
    """Ids of the nodes that agree, sorted."""
    return np.unique([m.node_id for m in members])
