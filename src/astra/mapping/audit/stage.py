"""The audit of a reconstruction: every check, the cuts that follow, and the verdict."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.geometry import CameraRig
from astra.mapping.audit.evidence import VerifiedPairs, explained
from astra.mapping.audit.findings import Break, Doubt, LoopFinding
from astra.mapping.audit.odometry import OdometryTrust, against_odometry
from astra.mapping.audit.split import parts, subset
from astra.mapping.keyframes import Keyframe
from astra.mapping.metric import to_metric
from astra.mapping.scale import ScaleConfig
from astra.mapping.sfm import SfmFragment
from astra.topomap.audit import FragmentAudit, MapAudit, SuspiciousLoop, Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """What each check tolerates."""

    odometry: OdometryTrust = field(default_factory=OdometryTrust)
    tolerance_rad: float = 0.012  # of a match from its epipolar plane by the map's poses
    min_explained: float = 0.5  # share of a pair's matches below which the map contradicts it
    window: int = 5  # keyframes apart up to which a pair counts as sequential, further as a loop
    min_nodes: int = 5  # of a part that is kept after a cut

    def __post_init__(self) -> None:
        require(0.0 < self.tolerance_rad < 0.2, "tolerance_rad", self.tolerance_rad, "in (0, 0.2)")
        require(0.0 < self.min_explained < 1.0, "min_explained", self.min_explained, "in (0, 1)")
        require(1 <= self.window <= 100, "window", self.window, "1 … 100")
        require(self.min_nodes >= 2, "min_nodes", self.min_nodes, "≥ 2")


@dataclass(frozen=True, slots=True, eq=False)
class AuditInput:
    """What the audit judges by. `mounted`: whether it is known where the cameras sit on the robot."""

    keyframes: Sequence[Keyframe]
    rigs: Sequence[CameraRig]
    mounted: bool
    pairs: VerifiedPairs
    scale: ScaleConfig


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """Fragments after the cuts, largest first, and what is to be said of them. `loops`: the findings behind `report.suspicious_loops`."""

    fragments: list[SfmFragment]
    report: MapAudit
    loops: tuple[LoopFinding, ...]


@dataclass(slots=True, eq=False)
class _Checked:
    """One fragment and what the checks found."""

    fragment: SfmFragment
    breaks: list[Break]
    doubts: list[Doubt]
    loops: list[LoopFinding]
    checks: list[str]
    agreeing: int


def audit(fragments: Sequence[SfmFragment], given: AuditInput, config: AuditConfig | None = None) -> Audited:
    """Check every fragment, cut where it is broken, and check the parts again."""
    config = config or AuditConfig()
    loops: dict[tuple[int, int], LoopFinding] = {}
    sound: list[_Checked] = []
    lost = 0
    for fragment in fragments:
        first = _check(fragment, given, config)
        loops |= {(loop.a, loop.b): loop for loop in first.loops}
        if not first.breaks:
            sound.append(first)
            continue
        cut = parts(fragment.sfm_from_ref, given.keyframes, first.breaks, _links(fragment, given, config, loops))
        for ids in cut:
            if len(ids) < config.min_nodes:
                lost += len(ids)
                continue
            again = _check(subset(fragment, ids, given.keyframes), given, config)
            again.doubts += [Doubt(b.before, b.after, f"still broken after a cut: {b.reason}") for b in again.breaks]
            sound.append(again)
        logger.info("audit cut a fragment of %d keyframes into %s", len(fragment.sfm_from_ref), [len(ids) for ids in cut])
    sound.sort(key=lambda checked: -len(checked.fragment.sfm_from_ref))
    verdicts = tuple(_verdict(checked) for checked in sound)
    doubtful = [f"fragment {k}: {text}" for k, v in enumerate(verdicts) if v.verdict is Verdict.DOUBTFUL for text in v.reasons]
    if lost:
        doubtful.append(f"{lost} keyframes belong to no consistent part and were left out")
    report = MapAudit(
        Verdict.DOUBTFUL if any(v.verdict is Verdict.DOUBTFUL for v in verdicts) else Verdict.CONSISTENT,
        tuple(doubtful),
        verdicts,
        tuple(SuspiciousLoop(loop.a, loop.b, loop.reason) for loop in loops.values()),
    )
    return Audited([checked.fragment for checked in sound], report, tuple(loops.values()))


def _check(fragment: SfmFragment, given: AuditInput, config: AuditConfig) -> _Checked:
    checked = _Checked(fragment, [], [], [], [], 0)
    mine = [k for k in given.keyframes if k.id in fragment.sfm_from_ref]
    share = explained(given.pairs, fragment.sfm_from_cam, config.tolerance_rad)
    is_loop = given.pairs.frame_b - given.pairs.frame_a > config.window
    checked.agreeing = int((is_loop & (share >= config.min_explained)).sum())
    if sum(k.odom_from_base is not None for k in mine) > 2:
        metric = to_metric(fragment, given.keyframes, given.rigs, given.mounted, given.scale)
        breaks, doubts = against_odometry(metric, mine, given.mounted, config.odometry)
        checked.breaks += breaks
        checked.doubts += doubts
        checked.checks.append("odometry")
    return checked


def _links(
    fragment: SfmFragment, given: AuditInput, config: AuditConfig, loops: dict[tuple[int, int], LoopFinding]
) -> dict[tuple[int, int], float]:
    """Pairs of keyframes → matches that the map explains, without the suspicious loops."""
    share = explained(given.pairs, fragment.sfm_from_cam, config.tolerance_rad)
    links: dict[tuple[int, int], float] = {}
    for e in np.flatnonzero(np.nan_to_num(share) >= config.min_explained):
        key = int(given.pairs.frame_a[e]), int(given.pairs.frame_b[e])
        if key not in loops:
            links[key] = links.get(key, 0.0) + float(share[e] * given.pairs.inliers[e])
    return links


def _verdict(checked: _Checked) -> FragmentAudit:
    reasons = tuple(doubt.reason for doubt in checked.doubts)
    verdict = Verdict.DOUBTFUL if reasons else Verdict.CONSISTENT
    return FragmentAudit(len(checked.fragment.sfm_from_ref), verdict, reasons, checked.agreeing, tuple(checked.checks))
