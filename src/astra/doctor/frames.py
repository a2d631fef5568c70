"""The transform tree of a running robot: one root, one parent each, and a way from the odometry to every sensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from astra.doctor.finding import Finding, Severity

BASE, ODOM = "base_link", "odom"


def examine_frames(parents: Mapping[str, Set[str]]) -> Iterator[Finding]:
    """What `parents` (child frame → every parent that somebody has named for it) says of the tree."""
    if not parents:
        yield Finding("tf tree", Severity.ERROR, "no transform is heard", "start robot_state_publisher and the odometry")
        return
    faults = []
    for child, named in sorted(parents.items()):
        if len(named) > 1:
            advice = "let one node publish it (publish_odom_tf; a second odometry in the base's driver?)"
            faults.append(Finding(f"tf of {child}", Severity.ERROR, f"it has {len(named)} parents: {', '.join(sorted(named))}", advice))
    roots = {frame: _root(frame, parents) for frame in sorted({*parents, *(p for named in parents.values() for p in named)})}
    rings = sorted(frame for frame, root in roots.items() if root is None)
    if rings:
        faults.append(Finding("tf tree", Severity.ERROR, f"these frames hang from one another in a ring: {', '.join(rings)}", "mend the URDF"))
    home = roots.get(BASE)
    loose = sorted(frame for frame, root in roots.items() if root is not None and root != home)
    if BASE not in roots:
        faults.append(Finding("tf tree", Severity.ERROR, f"there is no {BASE}", f"name the base {BASE} in the URDF, or set the nodes' base_frame"))
    elif loose:
        faults.append(Finding("tf tree", Severity.ERROR, f"not connected with {BASE}: {', '.join(loose)}", "place them in the URDF, or start their publisher"))
    elif ODOM not in roots:
        faults.append(Finding("tf tree", Severity.WARNING, f"nobody publishes {ODOM} → {BASE}", "start the stack (astra_odometry), or the base's odometry"))
    yield from faults or [Finding("tf tree", Severity.OK, f"{len(roots)} frames hang from {home}", value=len(roots), unit="frames")]


def _root(frame: str, parents: Mapping[str, Set[str]]) -> str | None:
    """The frame that it hangs from in the end; None in a ring."""
    seen = {frame}
    while named := parents.get(frame):
        frame = min(named)
        if frame in seen:
            return None
        seen.add(frame)
    return frame
