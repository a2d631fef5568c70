import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.core.errors import ConfigError
from astra.geometry import Pose2
from astra.navigation.mission import (
    BackUp,
    BehaviorEnded,
    Code,
    Command,
    Ending,
    Event,
    FetchMap,
    FindGoal,
    Finish,
    Fix,
    FollowEnded,
    FollowRoute,
    GoalSearched,
    Halt,
    MapMissing,
    MapReady,
    Mission,
    MissionConfig,
    Motion,
    NoRoute,
    Phase,
    PlanRoute,
    RouteReady,
    Search,
    Spin,
    Stop,
    Tick,
)
from astra.navigation.protocols import GoalPlace

GOAL = Pose2(4.0, 0.0, 0.0)
SOFA = GoalPlace(7, "resting area", 0.9, GOAL, "the sign says so")
TOILETS = tuple(GoalPlace(i, "toilet", 0.8, Pose2(float(i), 0.0, 0.0), "a sign") for i in (1, 2))


class World:
    """Runs a mission against answers that a test chooses; time moves on by ticks of 0.1 s."""

    def __init__(self, target: Pose2 | None = None, config: MissionConfig | None = None) -> None:
        self.mission = Mission(config, target)
        self.now_s, self.pose, self.fix, self.alive = 0.0, Pose2(), Fix.GOOD, True
        self.stale: tuple[str, ...] = ()
        self.driven_m = 0.0
        self.answered_s = 0.0
        self.log: list[Command] = []

    def send(self, event: Event) -> list[Command]:
        commands = list(self.mission.handle(event))
        self.log += commands
        return commands

    def tick(self, gap_rad: float | None = None) -> list[Command]:
        self.now_s += 0.1
        pose = None if self.fix is Fix.LOST else self.pose
        return self.send(Tick(self.now_s, pose, self.fix, self.alive, self.stale, gap_rad, self.driven_m, answered_s=self.answered_s))

    def until(self, kind: type[Command] | Callable[[list[Command]], bool], limit_s: float = 300.0) -> Command:
        """Tick until a command of this kind is given."""
        end = self.now_s + limit_s
        while self.now_s < end:
            for command in self.tick():
                if isinstance(kind, type) and isinstance(command, kind):
                    return command
        raise AssertionError(f"no {kind} within {limit_s} s; phase {self.mission.phase!r}: {self.mission.why}")

    def to_search(self) -> FindGoal:
        self.until(FetchMap)
        (command,) = self.send(MapReady())
        assert isinstance(command, FindGoal)
        return command

    def drive(self) -> FollowRoute:
        """From anywhere before planning, with a goal known, to driving."""
        command = next((c for c in reversed(self.log) if isinstance(c, (PlanRoute, FollowRoute))), None)
        if not isinstance(command, PlanRoute) or self.mission.phase is not Phase.PLANNING:
            command = self.until(PlanRoute)
        assert isinstance(command, PlanRoute)
        route = np.array([[command.start.x, command.start.y], [command.goal.x, command.goal.y]])
        (follow,) = self.send(RouteReady(route))
        assert isinstance(follow, FollowRoute)
        assert self.mission.phase is Phase.DRIVING
        return follow

    @property
    def end(self) -> Finish:
        last = self.log[-1]
        assert isinstance(last, Finish), self.log
        assert self.mission.ended
        return last

    @property
    def motions(self) -> list[Command]:
        return [c for c in self.log if isinstance(c, (FollowRoute, Spin, BackUp))]


def driving(target: Pose2 = GOAL, config: MissionConfig | None = None) -> World:
    world = World(target, config)
    world.until(FetchMap)
    world.send(MapReady())
    world.drive()
    return world


def test_a_localized_robot_finds_plans_drives_and_arrives() -> None:
    world = World()
    assert world.to_search().near == world.pose
    assert world.mission.phase is Phase.FINDING_GOAL
    (plan,) = world.send(GoalSearched(Search.FOUND, (SOFA,)))
    assert plan == PlanRoute(world.pose, GOAL)
    world.drive()
    for x in (2.0, 3.8):
        world.pose = Pose2(x, 0.0, 0.1)
        world.tick()
    assert world.mission.remaining_m == pytest.approx(0.2)
    world.send(FollowEnded(Motion.SUCCEEDED))
    assert world.mission.phase is Phase.ARRIVING
    world.until(Finish)
    assert world.end == Finish(Ending.SUCCEEDED, Code.NONE, "arrived")


def test_an_unknown_instruction_causes_no_motion_even_if_the_robot_is_lost() -> None:
    world = World()
    world.fix = Fix.LOST
    assert world.to_search().near is None
    world.send(GoalSearched(Search.NOT_FOUND))
    assert world.end.code is Code.NOT_FOUND
    assert world.motions == []


def test_a_lost_robot_stands_then_looks_around_and_searches_again_from_where_it_is() -> None:
    world = World()
    world.fix = Fix.LOST
    world.to_search()
    assert world.send(GoalSearched(Search.FOUND, (SOFA,))) == []
    assert world.mission.phase is Phase.LOCALIZING
    began = world.now_s
    spin = world.until(Spin)
    assert world.now_s - began >= world.mission.config.look_after_s
    assert spin == Spin(world.mission.config.look_step_rad)
    assert world.mission.phase is Phase.LOOKING_AROUND
    world.send(BehaviorEnded(Motion.SUCCEEDED))
    world.fix = Fix.GOOD
    assert world.until(FindGoal) == FindGoal(world.pose)
    assert isinstance(world.send(GoalSearched(Search.FOUND, (SOFA,)))[0], PlanRoute)


@pytest.mark.parametrize("busy", [False, True])
def test_the_next_look_waits_until_this_one_was_judged(busy: bool) -> None:
    """A busy machine's localizer still speaks of what was seen before the turn; it is not waited for without end."""
    world = World(GOAL)
    world.fix = Fix.LOST
    world.until(FetchMap)
    world.send(MapReady())
    world.until(Spin)
    world.send(BehaviorEnded(Motion.SUCCEEDED))
    world.answered_s, began = 1e3 if busy else 0.0, world.now_s
    world.until(Spin)
    config = world.mission.config
    assert world.now_s - began == pytest.approx(config.look_patience_s if busy else config.look_pause_s, abs=0.25)


def test_looking_around_covers_the_circle_twice_and_then_admits_to_be_lost() -> None:
    world = World(GOAL)
    world.fix = Fix.LOST
    world.until(FetchMap)
    world.send(MapReady())
    headings = [0.0]
    while not world.mission.ended:
        for command in world.tick():
            if isinstance(command, Spin):
                headings.append(headings[-1] + command.angle_rad)
                world.send(BehaviorEnded(Motion.SUCCEEDED))
    assert world.end.code is Code.LOST
    assert headings[-1] == pytest.approx(4.0 * math.pi, abs=math.pi / 4.0)
    distinct = {round(math.degrees(h) % 360.0) % 360 for h in headings}
    assert len(distinct) >= 16  # the second turn looks in between


def test_without_room_to_turn_it_tries_both_ways_and_gives_up_with_the_reason() -> None:
    world = World(GOAL)
    world.fix = Fix.LOST
    world.until(FetchMap)
    world.send(MapReady())
    angles = []
    while not world.mission.ended:
        for command in world.tick():
            if isinstance(command, Spin):
                angles.append(command.angle_rad)
                world.send(BehaviorEnded(Motion.FAILED, "a wall"))
    assert {math.copysign(1.0, a) for a in angles} == {-1.0, 1.0}
    assert world.end.code is Code.LOST
    assert "a wall" in world.end.message


def test_an_ambiguous_goal_is_asked_again_from_nearby_and_refused_if_it_stays_so() -> None:
    world = World()
    world.fix = Fix.LOST
    world.to_search()
    assert world.send(GoalSearched(Search.AMBIGUOUS, TOILETS)) == []
    world.fix = Fix.GOOD
    assert world.until(FindGoal) == FindGoal(world.pose)
    world.send(GoalSearched(Search.AMBIGUOUS, TOILETS))
    assert world.end.code is Code.AMBIGUOUS
    assert world.motions == []
    assert world.mission.places == TOILETS


def test_a_dead_goal_search_is_asked_again_and_ends_after_a_few_attempts() -> None:
    world = World()
    world.to_search()
    world.send(GoalSearched(Search.UNAVAILABLE, message="nobody there"))
    for _ in range(world.mission.config.search_attempts - 1):
        world.until(FindGoal)
        world.send(GoalSearched(Search.UNAVAILABLE, message="nobody there"))
    world.until(Finish)
    assert world.end.code is Code.UNKNOWN
    assert world.motions == []


def test_a_goal_search_that_never_answers_is_repeated() -> None:
    world = World()
    world.to_search()
    began = world.now_s
    world.until(FindGoal)
    assert world.now_s - began == pytest.approx(world.mission.config.search_timeout_s, abs=0.3)


def test_a_refused_search_is_a_bad_goal() -> None:
    world = World()
    world.to_search()
    world.send(GoalSearched(Search.REFUSED, message="the image is empty"))
    assert (world.end.code, world.end.message) == (Code.BAD_GOAL, "the image is empty")


def test_the_map_is_asked_for_until_it_comes() -> None:
    world = World(GOAL)
    for _ in range(3):
        world.until(FetchMap)
        world.send(MapMissing("not served yet"))
    world.until(Finish)
    assert world.end.code is Code.NO_MAP
    world = World(GOAL)
    world.until(FetchMap)
    world.send(MapMissing("no map is loaded", final=True))
    assert world.end.code is Code.NO_MAP


def test_no_route_ends_without_motion() -> None:
    world = World(GOAL)
    world.until(FetchMap)
    world.send(MapReady())
    world.send(NoRoute("not connected"))
    assert (world.end.code, world.motions) == (Code.NO_ROUTE, [])


def test_a_goal_pose_outside_the_graph_is_refused_before_anything_moves() -> None:
    world = World(GOAL)
    world.fix = Fix.LOST
    world.until(FetchMap)
    world.send(NoRoute("5 m from the graph"))
    assert (world.end.code, world.motions) == (Code.NO_ROUTE, [])


def test_stale_inputs_stop_the_robot_at_once_and_it_goes_on_when_they_are_fresh() -> None:
    world = driving()
    world.stale = ("scan",)
    assert world.tick() == [Halt()]
    assert "scan" in world.mission.why
    world.tick()
    world.stale = ()
    world.until(PlanRoute)
    world.drive()


def test_inputs_that_stay_stale_end_the_mission() -> None:
    world = driving()
    world.stale = ("odometry",)
    began = world.now_s
    world.until(Finish)
    assert world.end.code is Code.SENSORS_STALE
    assert "odometry" in world.end.message
    assert world.now_s - began == pytest.approx(world.mission.config.stale_limit_s, abs=0.3)


def test_lost_on_the_way_stops_relocalizes_and_drives_on() -> None:
    world = driving()
    world.fix = Fix.LOST
    assert world.tick() == [Halt()]
    assert world.mission.phase is Phase.LOCALIZING
    world.until(Spin)
    world.send(BehaviorEnded(Motion.SUCCEEDED))
    world.fix = Fix.GOOD
    world.until(PlanRoute)
    world.drive()


@pytest.mark.parametrize("far", [True, False])
def test_dead_reckoning_is_bounded_in_time_and_distance(far: bool) -> None:
    world = driving(Pose2(100.0, 0.0, 0.0))
    config = world.mission.config
    world.fix, world.alive = Fix.AGEING, False
    began, driven = world.now_s, 0.0
    while world.mission.phase is Phase.DRIVING:
        if far:
            world.driven_m += 0.1
            world.pose = Pose2(world.driven_m, 0.0, 0.0)
        commands = world.tick()
        driven = world.driven_m
        assert world.now_s - began < config.dead_reckoning_s + 1.0
    assert commands == [Halt()]
    assert driven <= config.dead_reckoning_m + 0.2
    assert far == (world.now_s - began < config.dead_reckoning_s - 1.0)


def test_while_the_localizer_is_dead_the_robot_waits_without_turning_and_goes_on_afterwards() -> None:
    world = driving(Pose2(100.0, 0.0, 0.0))
    world.fix, world.alive = Fix.AGEING, False
    world.until(Halt)
    before = len(world.motions)
    for _ in range(400):
        world.tick()
    assert len(world.motions) == before
    world.fix, world.alive = Fix.GOOD, True
    world.until(PlanRoute)
    world.drive()
    assert not world.mission.ended


def test_a_localizer_that_stays_dead_ends_the_mission() -> None:
    world = driving()
    world.fix, world.alive = Fix.AGEING, False
    world.until(Finish)
    assert world.end.code is Code.LOST


def test_a_failed_drive_climbs_the_whole_ladder_and_ends_blocked() -> None:
    world = driving()
    seen: list[str] = []
    while not world.mission.ended:
        phase = world.mission.phase
        if phase is Phase.DRIVING:
            world.send(FollowEnded(Motion.FAILED, "no local path"))
        for command in world.tick(gap_rad=1.2):
            if isinstance(command, PlanRoute):
                seen.append(f"plan{len(command.blocked)}")
                world.send(RouteReady(np.array([[0.0, 0.0], [4.0, 0.0]])))
            elif isinstance(command, Spin):
                seen.append("spin")
                assert command.angle_rad == pytest.approx(1.2)
                world.send(BehaviorEnded(Motion.SUCCEEDED))
            elif isinstance(command, BackUp):
                seen.append("backup")
                assert command.distance_m == pytest.approx(0.3)
                world.send(BehaviorEnded(Motion.FAILED, "a wall behind"))
        assert world.now_s < 200.0
    assert world.end.code is Code.BLOCKED
    assert seen[:5] == ["plan0", "spin", "plan0", "backup", "plan1"]
    assert seen[-1] == "backup"
    assert max(int(s[4:]) for s in seen if s.startswith("plan")) == world.mission.config.recovery.reroutes


def test_a_reroute_without_another_way_is_blocked() -> None:
    world = driving()
    for expected in (PlanRoute, Spin, BackUp, PlanRoute):
        world.send(FollowEnded(Motion.FAILED, "a box"))
        command = world.until(expected)
        if isinstance(command, PlanRoute):
            if command.blocked:
                break
            world.send(RouteReady(np.array([[0.0, 0.0], [4.0, 0.0]])))
        else:
            world.send(BehaviorEnded(Motion.SUCCEEDED))
            world.drive()
    assert command.blocked == ((0.6, 0.0),)
    world.send(NoRoute("no other way"))
    assert world.end.code is Code.BLOCKED


def test_progress_lets_the_ladder_start_at_its_foot() -> None:
    world = driving(Pose2(40.0, 0.0, 0.0))
    for step in range(1, 6):
        world.pose = Pose2(2.0 * step, 0.0, 0.0)
        world.tick()
        world.send(FollowEnded(Motion.FAILED, "a person"))
        world.until(PlanRoute)  # the first rung is to try again
        world.drive()
    assert world.mission.recoveries == 5
    assert not any(isinstance(c, (Spin, BackUp)) for c in world.log)


def test_standing_still_while_driving_counts_as_a_failure() -> None:
    world = driving()
    began = world.now_s
    assert isinstance(world.until(Halt), Halt)
    assert world.now_s - began == pytest.approx(world.mission.config.no_progress_s, abs=0.5)
    assert world.mission.phase is Phase.RECOVERING


def test_far_off_the_route_it_plans_anew() -> None:
    world = driving()
    world.now_s += 5.0
    world.pose = Pose2(1.0, 2.0, 0.0)
    commands = world.tick()
    assert commands[0] == Halt()
    assert any(isinstance(c, PlanRoute) for c in commands)


def test_a_motion_server_that_dies_is_waited_for_and_given_up_in_the_end() -> None:
    world = driving()
    world.send(FollowEnded(Motion.UNAVAILABLE, "astra_local is silent"))
    while not world.mission.ended:
        for command in world.tick():
            if isinstance(command, PlanRoute):
                world.send(RouteReady(np.array([[0.0, 0.0], [4.0, 0.0]])))
                world.send(FollowEnded(Motion.UNAVAILABLE, "astra_local is silent"))
    assert world.end.code is Code.CONTROLLER_FAILED
    assert world.mission.recoveries == 0


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (100, "plan"),  # unknown: the ladder, whose first rung is to try again
        (101, "give up"),  # invalid controller
        (102, "wait"),  # transforms
        (103, "plan"),  # invalid path: another one
        (104, "plan"),  # patience exceeded: the ladder
        (105, "spin"),  # no progress: the ladder without trying the same again
        (106, "plan"),  # no valid control: the ladder
        (107, "wait"),  # controller timed out
        (0, "plan"),
        (250, "plan"),  # of a controller that is not Nav2's
    ],
)
def test_each_error_of_follow_path_has_its_recovery(code: int, answer: str) -> None:
    world = driving()
    world.send(FollowEnded(Motion.FAILED, "told so", code))
    if answer == "give up":
        assert world.end == Finish(Ending.ABORTED, Code.CONTROLLER_FAILED, "told so")
        return
    command = world.until(Spin if answer == "spin" else PlanRoute)
    assert isinstance(command, Spin if answer == "spin" else PlanRoute)
    assert world.mission.recoveries == (0 if answer == "wait" or code == 103 else 1)


@pytest.mark.parametrize(("code", "ends"), [(102, Code.CONTROLLER_FAILED), (103, Code.BLOCKED), (105, Code.BLOCKED), (107, Code.CONTROLLER_FAILED)])
def test_an_error_that_stays_ends_the_mission(code: int, ends: Code) -> None:
    world = driving()
    while not world.mission.ended:
        if world.mission.phase is Phase.DRIVING:
            world.send(FollowEnded(Motion.FAILED, "told so", code))
        for command in world.tick():
            if isinstance(command, PlanRoute):
                world.send(RouteReady(np.array([[0.0, 0.0], [4.0, 0.0]])))
            elif isinstance(command, (Spin, BackUp)):
                world.send(BehaviorEnded(Motion.SUCCEEDED))
        assert world.now_s < 200.0
    assert world.end.code is ends


def test_an_arrival_that_the_pose_denies_is_not_one() -> None:
    world = driving()
    world.pose = Pose2(2.0, 0.0, 0.0)
    world.tick()
    for _ in range(world.mission.config.arrival_attempts - 1):
        world.send(FollowEnded(Motion.SUCCEEDED))
        world.until(PlanRoute)
        world.drive()
    world.send(FollowEnded(Motion.SUCCEEDED))
    world.until(Finish)
    assert world.end.code is Code.CONTROLLER_FAILED


def test_it_turns_to_the_goals_heading_and_a_turn_without_room_is_no_failure() -> None:
    world = driving(Pose2(4.0, 0.0, math.pi / 2.0))
    world.pose = Pose2(4.0, 0.0, 0.0)
    world.tick()
    world.send(FollowEnded(Motion.SUCCEEDED))
    spin = world.until(Spin)
    assert spin == Spin(pytest.approx(math.pi / 2.0))
    world.send(BehaviorEnded(Motion.FAILED, "a chair"))
    assert world.end.ending is Ending.SUCCEEDED


def test_cancel_and_preemption_stop_the_robot() -> None:
    world = driving()
    assert world.send(Stop()) == [Halt(), Finish(Ending.CANCELED, Code.NONE, "cancelled")]
    assert world.tick() == []
    world = driving()
    halt, finish = world.send(Stop(preempted=True))
    assert halt == Halt()
    assert isinstance(finish, Finish)
    assert (finish.ending, finish.code) == (Ending.ABORTED, Code.PREEMPTED)


def test_the_whole_mission_has_a_limit() -> None:
    world = driving(config=MissionConfig(timeout_s=20.0))
    world.until(Finish)
    assert world.end.code is Code.TIMED_OUT
    assert world.log[-2] == Halt()


EVENTS = st.one_of(
    st.just(MapReady()),
    st.just(MapMissing("later")),
    st.sampled_from([GoalSearched(Search.FOUND, (SOFA,)), GoalSearched(Search.AMBIGUOUS, TOILETS), GoalSearched(Search.UNAVAILABLE)]),
    st.builds(lambda x: RouteReady(np.array([[0.0, 0.0], [x, 0.0]])), st.floats(0.1, 9.0)),
    st.builds(FollowEnded, st.sampled_from(Motion), code=st.integers(99, 108)),
    st.builds(BehaviorEnded, st.sampled_from(Motion)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.sampled_from(Fix), st.booleans(), st.booleans(), st.floats(-5, 5)), min_size=1, max_size=40), st.booleans())
def test_whatever_happens_a_mission_ends_within_its_limit_and_never_moves_on_stale_inputs(steps: list, by_text: bool) -> None:
    world = World(None if by_text else GOAL, MissionConfig(timeout_s=120.0))
    moving = False
    for i in range(1500):
        event, world.fix, world.alive, stale, x = steps[i % len(steps)]
        world.stale, world.pose = ("scan",) if stale else (), Pose2(x, 0.0, 0.0)
        for command in world.tick():
            assert not (stale and isinstance(command, (FollowRoute, Spin, BackUp)))
            moving = isinstance(command, (FollowRoute, Spin, BackUp)) or (moving and not isinstance(command, (Halt, Finish)))
        assert not (stale and moving)
        if isinstance(event, (FollowEnded, BehaviorEnded)):
            moving = False
        if not stale:
            for command in world.send(event):
                moving = isinstance(command, (FollowRoute, Spin, BackUp)) or (moving and not isinstance(command, (Halt, Finish)))
        if world.mission.ended:
            break
    assert world.mission.ended
    assert sum(isinstance(c, Finish) for c in world.log) == 1


@pytest.mark.parametrize("field", ["timeout_s", "look_after_s", "goal_tolerance_m", "max_replans"])
def test_bad_limits_are_refused_by_name(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        MissionConfig(**{field: -1})
