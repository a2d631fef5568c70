"""The audit of a reconstruction: every check, the cuts that follow, and the verdict."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.geometry import CameraModel, CameraRig
from astra.mapping.audit.drift import DriftConfig, drift_sigmas
from astra.mapping.audit.evidence import Agreement, VerifiedPairs, agreement
from astra.mapping.audit.findings import Break, Doubt, LoopFinding
from astra.mapping.audit.joints import JointConfig, measure_joints, weak_joints
from astra.mapping.audit.loops import LoopCluster, LoopConfig, contradicted_loops, holding, is_loop, loop_clusters, switched_off
from astra.mapping.audit.odometry import OdometryTrust, against_odometry, confirmed_steps
from astra.mapping.audit.posegraph import PoseGraphConfig
from astra.mapping.audit.revisits import RevisitConfig, denied_revisits, find_revisits
from astra.mapping.audit.split import parts, subset
from astra.mapping.clues import MetricClues
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe
from astra.mapping.metric import MetricFragment, to_metric
from astra.mapping.scale import ScaleConfig
from astra.mapping.sfm import SfmFragment
from astra.topomap.audit import FragmentAudit, MapAudit, SuspiciousLoop, Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """What each check tolerates."""

    odometry: OdometryTrust = field(default_factory=OdometryTrust)
    joints: JointConfig = field(default_factory=JointConfig)
    loops: LoopConfig = field(default_factory=LoopConfig)
    revisits: RevisitConfig = field(default_factory=RevisitConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    pose_graph: PoseGraphConfig = field(default_factory=PoseGraphConfig)
    tolerance_px: float = 1.5  # of a match from its epipolar plane by the map's poses
    max_scale_sigma: float = 0.05  # relative; a map in metres that are less certain is not called consistent
    min_nodes: int = 5  # of a part that is kept after a cut
    max_reruns: int = 2  # of SfM without the loops that hold a break

    def __post_init__(self) -> None:
        require(self.tolerance_px > 0.0, "tolerance_px", self.tolerance_px, "> 0")
        require(self.max_scale_sigma > 0.0, "max_scale_sigma", self.max_scale_sigma, "> 0")
        require(self.min_nodes >= 2, "min_nodes", self.min_nodes, "≥ 2")
        require(0 <= self.max_reruns <= 5, "max_reruns", self.max_reruns, "0 … 5")


@dataclass(frozen=True, slots=True, eq=False)
class AuditInput:
    """What the audit judges by. `mounted`: whether it is known where the cameras sit on the robot; `models`: (tour, camera) → intrinsics."""

    keyframes: Sequence[Keyframe]
    rigs: Sequence[CameraRig]
    mounted: bool
    pairs: VerifiedPairs
    views: ViewSet
    models: Mapping[tuple[int, str], CameraModel]
    scale: ScaleConfig
    clues: MetricClues = field(default_factory=MetricClues)

    @property
    def pixel_rad(self) -> float:
        """The angle of one pixel."""
        return 1.0 / float(np.median([model.fx for model in self.models.values()]))


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """Fragments after the cuts, largest first, what is to be said of them, and the pairs of views that a new run should do without.

    drift_sigmas: keyframe id → sigma [m] of its position against the core of its fragment.
    """

    fragments: list[SfmFragment]
    drift_sigmas: dict[int, float]
    report: MapAudit
    refused: frozenset[tuple[int, int]]

    @property
    def score(self) -> int:
        """How much of the tour lies in parts that can be trusted, large ones preferred: the sum of their squared sizes."""
        return sum(part.nodes**2 for part in self.report.fragments if part.verdict is Verdict.CONSISTENT)


@dataclass(slots=True, eq=False)
class _Checked:
    """One fragment and what the checks found."""

    fragment: SfmFragment
    metric: MetricFragment
    found: Agreement
    clusters: list[LoopCluster] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    loops: list[LoopFinding] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    false: set[tuple[int, int]] = field(default_factory=set)
    sigmas: dict[int, float] = field(default_factory=dict)
    agreeing: int = 0


def audit(fragments: Sequence[SfmFragment], given: AuditInput, config: AuditConfig | None = None) -> Audited:
    """Check every fragment, cut where it is broken, and check the parts again."""
    config = config or AuditConfig()
    sound: list[_Checked] = []
    loops: dict[tuple[int, int], LoopFinding] = {}
    refused: set[tuple[int, int]] = set()
    for fragment in fragments:
        whole = _check(fragment, given, config)
        refused |= _held(whole, given, config)
        loops |= {(loop.a, loop.b): loop for loop in whole.loops}
        for checked in _cut(whole, given, config):
            sound.append(checked)
            loops |= {(loop.a, loop.b): loop for loop in checked.loops}
    if not sound:  # nothing is sound: the largest fragment stays, doubted
        sound = [_check(fragments[0], given, config)]
        sound[0].doubts += [Doubt(b.before, b.after, b.reason) for b in sound[0].breaks]
    sound.sort(key=lambda checked: -len(checked.fragment.sfm_from_ref))
    lost = sum(len(fragment.sfm_from_ref) for fragment in fragments) - sum(len(checked.fragment.sfm_from_ref) for checked in sound)
    sigmas = {k: sigma for checked in sound for k, sigma in checked.sigmas.items()}
    return Audited([checked.fragment for checked in sound], sigmas, _report(sound, lost, list(loops.values())), frozenset(refused))


def _check(fragment: SfmFragment, given: AuditInput, config: AuditConfig) -> _Checked:
    """Run every check that applies."""
    pairs, mine = given.pairs, [k for k in given.keyframes if k.id in fragment.sfm_from_ref]
    found = agreement(pairs, fragment, config.tolerance_px * given.pixel_rad)
    metric = to_metric(fragment, given.keyframes, given.rigs, given.mounted, given.scale, given.clues)
    checked = _Checked(fragment, metric, found)
    confirmed: set[tuple[int, int]] = set()
    if sum(k.odom_from_base is not None for k in mine) > 2:
        checked.breaks, checked.doubts = against_odometry(metric, mine, given.mounted, config.odometry)
        confirmed = confirmed_steps(metric, mine, given.mounted, config.odometry) if given.mounted else set()
        checked.checks.append("odometry")
    if metric.scale.source != "unknown" and metric.scale.sigma > config.max_scale_sigma:
        text = f"the scale is uncertain by {100 * metric.scale.sigma:.0f} %: what should give it does not agree"
        checked.doubts.append(Doubt(mine[0].id, mine[-1].id, text))
    joints = measure_joints(fragment, mine, pairs, found, given.pixel_rad, config.joints)
    told = {(b.before, b.after) for b in checked.breaks}
    weak = weak_joints(joints, math.isfinite(fragment.unit_m), confirmed, config.joints)
    checked.breaks += [b for b in weak if (b.before, b.after) not in told]
    checked.checks.append("sequence")
    loops = np.flatnonzero(found.known & is_loop(pairs, given.keyframes, config.loops.window))
    clusters = checked.clusters = loop_clusters(pairs, loops, config.loops.cluster)
    checked.loops += contradicted_loops(pairs, clusters, found, config.loops)
    checked.agreeing = sum(cluster.explained(found, pairs.inliers) >= config.loops.min_explained for cluster in clusters)
    if clusters:
        checked.checks.append("loops")
    revisits = find_revisits(fragment, mine, given.views, given.models, config.revisits)
    for loop, rows in denied_revisits(revisits, config.revisits):
        checked.loops.append(loop)
        checked.doubts.append(Doubt(loop.a, loop.b, f"nodes {loop.a} and {loop.b} are not one place: {loop.reason}"))
        checked.false |= {(int(revisits.frame_a[k]), int(revisits.frame_b[k])) for k in rows}
    if len(revisits.found):
        checked.checks.append("revisits")
    _estimate_drift(checked, given, config)
    return checked


def _estimate_drift(checked: _Checked, given: AuditInput, config: AuditConfig) -> None:
    """Every node's sigma against the core; a map whose far ends may be off by metres is not called consistent."""
    far = {key: matches for key, matches in _links(checked, given, config).items() if key[1] - key[0] > config.loops.window}
    rigid = math.isfinite(checked.fragment.unit_m)
    checked.sigmas = drift_sigmas(checked.metric.map_from_base, given.keyframes, far, rigid, config.drift)
    worst = max(checked.sigmas, key=lambda k: checked.sigmas[k])
    if checked.metric.scale.source != "unknown" and checked.sigmas[worst] > config.drift.doubt_m:
        checked.doubts.append(Doubt(worst, worst, f"node {worst} may have drifted by {2 * checked.sigmas[worst]:.1f} m: no revisit holds it"))


def _cut(whole: _Checked, given: AuditInput, config: AuditConfig, depth: int = 3) -> list[_Checked]:
    """The parts of a broken fragment, small ones left out, each checked again and cut again; one that no cut mends is doubted."""
    if not whole.breaks:
        return [whole]
    ids = parts(whole.fragment.sfm_from_ref, given.keyframes, whole.breaks, _links(whole, given, config))
    logger.info("audit: %d breaks cut a fragment of %d into %s", len(whole.breaks), len(whole.fragment.sfm_from_ref), [len(part) for part in ids])
    if len(ids) == 1 or depth == 0:  # what joins the runs elsewhere is sound, or cutting did not help
        whole.doubts += [Doubt(b.before, b.after, b.reason) for b in whole.breaks if b.contradicted]
        return [whole]
    again = [_check(subset(whole.fragment, part, given.keyframes), given, config) for part in ids if len(part) >= config.min_nodes]
    return [piece for checked in again for piece in _cut(checked, given, config, depth - 1)]


def _links(whole: _Checked, given: AuditInput, config: AuditConfig) -> dict[tuple[int, int], float]:
    """Pairs of keyframes → matches that became points of the map, where it explains them as well as the images themselves do.

    What reaches over a broken step within a few keyframes is what broke it, and joins nothing.
    """
    pairs, share = given.pairs, whole.found.share
    ratio = whole.found.ratio(config.joints.noise_px * given.pixel_rad)
    sequential = ~is_loop(pairs, given.keyframes, config.joints.window)
    over = np.zeros(len(pairs), dtype=bool)
    for gap in whole.breaks:
        over |= gap.contradicted & sequential & (pairs.frame_a <= gap.before) & (pairs.frame_b >= gap.after)
    links: dict[tuple[int, int], float] = {}
    for e in np.flatnonzero(whole.found.known & ~over & (share >= config.loops.min_explained) & (ratio <= config.joints.max_strain)):
        key = int(pairs.frame_a[e]), int(pairs.frame_b[e])
        links[key] = links.get(key, 0.0) + float(whole.found.tracked[e, 1])
    return links


def _held(whole: _Checked, given: AuditInput, config: AuditConfig) -> set[tuple[int, int]]:
    """Views whose match a new run should do without.

    Of a map that is broken or doubted: the revisits that odometry and the others switch off or, where none is or odometry is missing, all that
    close a way round over a broken step. Of any map: those where the images deny that it is one place.
    """
    pairs = given.pairs
    loops = np.flatnonzero(whole.found.known & is_loop(pairs, given.keyframes, config.loops.window))
    rows = holding(pairs, loops, whole.breaks)
    mine = [k for k in given.keyframes if k.id in whole.fragment.sfm_from_ref]
    if (whole.breaks or whole.doubts) and len({k.tour for k in mine}) == 1 and all(k.odom_from_base is not None for k in mine):
        agreed = [c for c in whole.clusters if c.explained(whole.found, pairs.inliers) >= config.loops.min_explained]
        off = switched_off(agreed, mine, whole.metric.map_from_base, config.pose_graph)
        whole.loops += [LoopFinding(c.a, c.b, f"odometry and the other revisits speak against {c.matches} matches") for c in off]
        if off:
            rows = np.concatenate([c.rows for c in off])
    if whole.false:
        ends = np.array(sorted({tuple(sorted(pair)) for pair in whole.false}))
        ours = np.stack([pairs.frame_a[loops], pairs.frame_b[loops]], axis=1)
        near = np.abs(ours[:, None] - ends[None]).max(axis=2).min(axis=1) <= 2 * config.loops.cluster
        rows = np.union1d(rows, loops[near])
    return {(int(pairs.view_a[e]), int(pairs.view_b[e])) for e in rows}


def _report(sound: Sequence[_Checked], lost: int, loops: Sequence[LoopFinding]) -> MapAudit:
    verdicts = tuple(_verdict(checked) for checked in sound)
    reasons = [f"fragment {k}: {text}" for k, v in enumerate(verdicts) if v.verdict is Verdict.DOUBTFUL for text in v.reasons]
    if lost:
        reasons.append(f"{lost} keyframes belong to no consistent part and were left out")
    verdict = Verdict.DOUBTFUL if any(v.verdict is Verdict.DOUBTFUL for v in verdicts) else Verdict.CONSISTENT
    return MapAudit(verdict, tuple(reasons), verdicts, tuple(SuspiciousLoop(loop.a, loop.b, loop.reason) for loop in loops))


def _verdict(checked: _Checked) -> FragmentAudit:
    reasons = tuple(dict.fromkeys(doubt.reason for doubt in checked.doubts))
    verdict = Verdict.DOUBTFUL if reasons else Verdict.CONSISTENT
    return FragmentAudit(len(checked.fragment.sfm_from_ref), verdict, reasons, checked.agreeing, tuple(checked.checks))
