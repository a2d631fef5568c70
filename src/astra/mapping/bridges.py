"""Parts that structure from motion left apart, joined where the tour went from one straight into the other.

A bare door frame, a dark corner or a blurred turn leaves two reconstructions of one walk. Over the one step between them wheels and gyro are exact to a
centimetre and a tenth of a degree: that is evidence, if the keyframes on both sides lie as odometry says. Longer gaps, jumps, and what the audit
has cut are not bridged; such parts stay fragments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose2, Pose3
from astra.geometry.se2 import wrap_angle
from astra.mapping.keyframes import Keyframe
from astra.mapping.metric import MetricFragment, moved
from astra.mapping.scale import UNKNOWN_SOURCE
from astra.mapping.sfm import SfmFragment
from astra.topomap.audit import FragmentAudit, MapAudit, Verdict


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """When a step joins two parts."""

    window: int = 4  # keyframes on either side that are compared with odometry
    min_window: int = 3
    max_step_m: float = 1.5  # between the last keyframe of one part and the first of the other
    max_turn_rad: float = 1.2
    max_spread_m: float = 0.06  # of the other part's beginning, as the pairs of keyframes place it
    max_spread_rad: float = math.radians(1.2)
    step_sigma_rad: float = math.radians(0.3)  # of the step's turn; the pairs' own spread is added

    def __post_init__(self) -> None:
        require(2 <= self.min_window <= self.window, "min_window", self.min_window, f"2 … window = {self.window}")
        for name in ("max_step_m", "max_turn_rad", "max_spread_m", "max_spread_rad", "step_sigma_rad"):
            require(getattr(self, name) > 0.0, name, getattr(self, name), "> 0")


@dataclass(frozen=True, slots=True, eq=False)
class Bridge:
    """Where part `b` lies against part `a` (rows of the list of parts): `a_from_b`, and how sure its place and direction are at the step."""

    a: int
    b: int
    a_from_b: Pose2
    at: FloatArray  # (2,) of the step, in b's frame [m]
    sigma_m: float
    sigma_rad: float


@dataclass(frozen=True, slots=True, eq=False)
class Bridged:
    """The joined parts, largest first; `report` speaks of them; `sigmas`: keyframe id → what the bridges add to its position's sigma [m]."""

    fragments: list[MetricFragment]
    report: MapAudit
    sigmas: Mapping[int, float]


def bridge(parts: Sequence[MetricFragment], keyframes: Sequence[Keyframe], report: MapAudit, config: BridgeConfig | None = None) -> Bridged:
    """Join what adjoining keyframes join; parts that are doubtful, without metres, or of one reconstruction that the audit has cut, stay apart.

    Args:
        parts: in metres and upright, each in a frame of its own.
        keyframes: all of the build, in order.
        report: with one entry for each part.
    """
    trusted = [part.verdict is Verdict.CONSISTENT for part in report.fragments]
    bridges = [b for b in find_bridges(parts, keyframes, config or BridgeConfig()) if trusted[b.a] and trusted[b.b]]
    groups: list[list[int]] = [[k] for k in range(len(parts))]
    placed = dict(enumerate(parts))  # each part in its group's frame
    sigmas: dict[int, float] = {}
    for found in bridges:
        mine, other = (next(g for g in groups if k in g) for k in (found.a, found.b))
        if mine is other:
            continue
        group_from_b = _frame(placed[found.a], parts[found.a]) @ Pose3.from_pose2(found.a_from_b)
        change = group_from_b @ _frame(placed[found.b], parts[found.b]).inverse()
        for k in other:
            placed[k] = moved(placed[k], change)
            sigmas |= _sigmas(placed[k], group_from_b, found, sigmas)
        mine += other
        groups.remove(other)
    groups.sort(key=lambda g: -sum(len(parts[k].map_from_base) for k in g))
    fragments = [_joined([placed[k] for k in sorted(group)]) for group in groups]
    audits = tuple(_audit([report.fragments[k] for k in sorted(group)]) for group in groups)
    number = {f"fragment {k}": f"fragment {n}" for n, group in enumerate(groups) for k in group}
    reasons = tuple(number.get(head, head) + colon + rest for head, colon, rest in (text.partition(":") for text in report.reasons))
    return Bridged(fragments, replace(report, fragments=audits, reasons=reasons), sigmas)


def find_bridges(parts: Sequence[MetricFragment], keyframes: Sequence[Keyframe], config: BridgeConfig) -> list[Bridge]:
    """The steps from one part into another that odometry and both parts agree on, in the tour's order."""
    owner = {k: number for number, part in enumerate(parts) for k in part.map_from_base}
    placed = [k for k in keyframes if k.id in owner and k.odom_from_base is not None]
    found = []
    for i in range(1, len(placed)):
        first, second = placed[i - 1], placed[i]
        a, b = owner[first.id], owner[second.id]
        if a == b or first.tour != second.tour or second.id - first.id != 1 or parts[a].sfm.folder == parts[b].sfm.folder:
            continue
        if UNKNOWN_SOURCE in (parts[a].scale.source, parts[b].scale.source):
            continue
        before = [k for k in placed[max(i - config.window, 0) : i] if owner[k.id] == a and k.tour == first.tour]
        after = [k for k in placed[i : i + config.window] if owner[k.id] == b and k.tour == first.tour]
        if min(len(before), len(after)) >= config.min_window:
            joined = _step(parts, a, b, before, after, config)
            found += [joined] if joined is not None else []
    return found


def _step(
    parts: Sequence[MetricFragment], a: int, b: int, before: Sequence[Keyframe], after: Sequence[Keyframe], config: BridgeConfig
) -> Bridge | None:
    step = _odometry(before[-1], after[0])
    if math.hypot(step.x, step.y) > config.max_step_m or abs(step.yaw) > config.max_turn_rad:
        return None
    poses = [
        parts[a].map_from_base[p.id].pose2() @ _odometry(p, q) @ parts[b].map_from_base[q.id].pose2().inverse() for p in before for q in after
    ]
    at = np.array([parts[b].map_from_base[after[0].id].pose2().x, parts[b].map_from_base[after[0].id].pose2().y])
    places = np.array([pose.apply(at[None])[0] for pose in poses])
    turns = np.array([wrap_angle(pose.yaw - poses[0].yaw) for pose in poses])
    spread_m, spread_rad = float(np.linalg.norm(places.std(axis=0))), float(turns.std())
    if spread_m > config.max_spread_m or spread_rad > config.max_spread_rad:
        return None
    yaw = wrap_angle(poses[0].yaw + float(turns.mean()))
    turned = Pose2(0.0, 0.0, yaw).apply(at[None])[0]
    place = places.mean(axis=0) - turned
    return Bridge(a, b, Pose2(float(place[0]), float(place[1]), yaw), at, spread_m, math.hypot(spread_rad, config.step_sigma_rad))


def _odometry(a: Keyframe, b: Keyframe) -> Pose2:
    assert a.odom_from_base is not None and b.odom_from_base is not None
    return a.odom_from_base.inverse() @ b.odom_from_base


def _frame(placed: MetricFragment, part: MetricFragment) -> Pose3:
    """group_from_part, by any of its keyframes."""
    k = next(iter(part.map_from_base))
    return placed.map_from_base[k] @ part.map_from_base[k].inverse()


def _sigmas(part: MetricFragment, group_from_b: Pose3, found: Bridge, known: Mapping[int, float]) -> dict[int, float]:
    at = group_from_b.apply(np.array([[*found.at, 0.0]]))[0, :2]
    out = {}
    for k, pose in part.map_from_base.items():
        lever = float(np.linalg.norm(pose.translation[:2] - at))
        out[k] = math.hypot(known.get(k, 0.0), math.hypot(found.sigma_m, found.sigma_rad * lever))
    return out


def _joined(parts: Sequence[MetricFragment]) -> MetricFragment:
    """Parts in one frame as one; the largest one's scale, up and frame stand for all."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    starts = np.cumsum([0, *(len(part.points_map) for part in parts)])
    observations = {
        view: np.where(rows >= 0, rows + int(start), -1) for part, start in zip(parts, starts) for view, rows in part.sfm.observations.items()
    }
    sfm = SfmFragment(
        {k: p for part in parts for k, p in part.sfm.sfm_from_ref.items()}, {v: p for part in parts for v, p in part.sfm.sfm_from_cam.items()},
        np.concatenate([part.sfm.points for part in parts]), np.concatenate([part.sfm.point_errors for part in parts]), observations,
        first.sfm.models, first.sfm.unit_m, first.sfm.folder,
    )  # fmt: skip
    return replace(
        first,
        sfm=sfm,
        map_from_base={k: p for part in parts for k, p in part.map_from_base.items()},
        map_from_cam={v: p for part in parts for v, p in part.map_from_cam.items()},
        points_map=np.concatenate([part.points_map for part in parts]),
        planarity_m=max(part.planarity_m for part in parts),
        joined_from=tuple(parts),
    )


def _audit(parts: Sequence[FragmentAudit]) -> FragmentAudit:
    if len(parts) == 1:
        return parts[0]
    verdict = Verdict.DOUBTFUL if any(p.verdict is Verdict.DOUBTFUL for p in parts) else Verdict.CONSISTENT
    reasons, checks = (tuple(dict.fromkeys(text for p in parts for text in getattr(p, name))) for name in ("reasons", "checks"))
    return FragmentAudit(sum(p.nodes for p in parts), verdict, reasons, sum(p.loops for p in parts), (*checks, "bridges"))
