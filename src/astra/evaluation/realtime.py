"""Does the running stack keep its pace? Periods, ages and processor time, from what was heard on its topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.evaluation.bench_report import Result

PATH_PERIOD_S, ODOMETRY_HZ, ODOMETRY_AGE_S, AGE_S, START_S = 0.130, 50.0, 0.025, 0.250, 20.0
MOVING = 1e-3  # of a command [m/s, rad/s]
LEAST = 20  # rows for a figure


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What a watcher heard; `sent` is the sender's wall clock [s], `stamp` the message's own, simulated time [s].

    Args:
        paths: (N, 2) sent, stamp of /astra/local_path.
        odometry: (M, 2) sent, stamp of /odom.
        commands: (K, 3) sent, linear [m/s], angular [rad/s].
        clock: (T, 2) sent, stamp of the ground truth: which simulated time it was when.
        ends: (E,) wall times at which missions ended; no path is owed between two missions.
        cores: processor time over wall time of each node.
        first_pose_s: from the start of the processes to the first localized pose; infinite if there was none.
    """

    paths: FloatArray
    odometry: FloatArray
    commands: FloatArray
    clock: FloatArray
    ends: FloatArray
    cores: Mapping[str, float]
    first_pose_s: float


def figures(heard: Heard) -> list[Result]:
    """The figures of docs/results/field.md with their targets."""
    out = [Result("start_to_first_pose", heard.first_pose_s, "s", 1, None, f"≤ {START_S:g}")]
    periods = path_periods(heard.paths[:, 0], heard.ends)
    if len(periods) >= LEAST:
        out.append(Result("local_path_period_median", float(np.median(periods)), "s", len(periods), None, "0.1"))
        out.append(Result("local_path_period_p99", float(np.quantile(periods, 0.99)), "s", len(periods), None, f"≤ {PATH_PERIOD_S:g}"))
    if len(heard.odometry) >= LEAST:
        sent = heard.odometry[:, 0]
        span_s, gaps = float(sent[-1] - sent[0]), np.diff(sent)
        out.append(Result("odometry_rate", (len(heard.odometry) - 1) / span_s, "Hz", len(gaps), None, f"≥ {ODOMETRY_HZ:g}"))
        out.append(Result("odometry_gap_p99", float(np.quantile(gaps, 0.99)), "s", len(gaps)))
    if len(heard.odometry) >= LEAST and len(heard.clock) >= LEAST:
        known = heard.odometry[(sent >= heard.clock[0, 0]) & (sent <= heard.clock[-1, 0])]
        ages = np.interp(known[:, 0], heard.clock[:, 0], heard.clock[:, 1]) - known[:, 1]
        out.append(Result("odometry_age_p99", float(np.quantile(ages, 0.99)), "s", len(ages), None, f"≤ {ODOMETRY_AGE_S:g}"))
    ages = command_ages(heard)
    if len(ages) >= LEAST:
        out.append(Result("image_to_command_age_median", float(np.median(ages)), "s", len(ages)))
        out.append(Result("image_to_command_age_p95", float(np.quantile(ages, 0.95)), "s", len(ages), None, f"≤ {AGE_S:g}"))
    if len(heard.clock) >= LEAST:
        wall_s, simulated_s = heard.clock[-1] - heard.clock[0]
        out.append(Result("simulated_per_real_second", float(simulated_s / wall_s), "s/s", len(heard.clock), None, "1"))
    out += [Result(f"{node}_cpu", cores, "cores", 1) for node, cores in heard.cores.items()]
    out.append(Result("stack_cpu", sum(heard.cores.values()), "cores", len(heard.cores), None, "≤ 2"))
    return out


def path_periods(sent: FloatArray, ends: FloatArray) -> FloatArray:
    """Times between paths (N,) that follow each other within one mission [s]."""
    periods: FloatArray = np.diff(sent)
    between = np.searchsorted(ends, sent[1:]) != np.searchsorted(ends, sent[:-1])
    within: FloatArray = periods[~between]
    return within


def command_ages(heard: Heard) -> FloatArray:
    """For each command that moves: simulated time at which it was sent minus the stamp of the newest path that was out then [s]."""
    if not (len(heard.paths) and len(heard.clock)):
        return np.zeros(0)
    moving = heard.commands[np.abs(heard.commands[:, 1:]).max(axis=1) > MOVING] if len(heard.commands) else np.zeros((0, 3))
    sent = moving[:, 0]
    sent = sent[(sent >= heard.clock[0, 0]) & (sent <= heard.clock[-1, 0]) & (sent >= heard.paths[0, 0])]
    newest = np.searchsorted(heard.paths[:, 0], sent, side="right") - 1
    ages: FloatArray = np.interp(sent, heard.clock[:, 0], heard.clock[:, 1]) - heard.paths[newest, 1]
    same = np.searchsorted(heard.ends, sent) == np.searchsorted(heard.ends, heard.paths[newest, 0])  # not a path of a mission that has ended
    followed: FloatArray = ages[same]
    return followed
