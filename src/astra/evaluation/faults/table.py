"""Everything that is broken on purpose, and what must happen then. docs/RELIABILITY.md shows it to people."""

from __future__ import annotations

from astra.evaluation.faults.fault import Expect, Fault

CAMERAS = ("front", "left", "back", "right")
PERCEPTION = (*CAMERAS, "scan")
LOOKS_ON = "drives on by odometry and lidar; the pose's covariance grows; localized again when pictures come"
NODES_BACK_S = 5.0
HEARD = (
    "/odom", "/scan", "/imu", "/wheel/odometry", "/tf", "/speed_limit", "/astra/subgoal", "/astra/look", "/initialpose", "/goal_pose",
    "/front/camera_info", "/front/image_raw",
)  # fmt: skip


def _all(way: str, streams: tuple[str, ...] = CAMERAS) -> tuple[str, ...]:
    return tuple(f"{stream}:{way}" for stream in streams)


_CAMERAS = (
    Fault("camera_black", "the front camera sees nothing", "sensors", ("front:black",), Expect.DRIVES, LOOKS_ON, "astra_global", hold_s=4.0),
    Fault("cameras_black", "all cameras see nothing", "sensors", _all("black"), Expect.DRIVES, LOOKS_ON, "astra_global"),
    Fault("cameras_frozen", "all cameras repeat one picture", "sensors", _all("frozen"), Expect.DRIVES,
          "pictures that contradict odometry are no fixes; " + LOOKS_ON, "astra_global"),
    Fault("cameras_late", "pictures come 0.8 s late", "sensors", _all("late:8"), Expect.DRIVES, "poses are put where odometry was then", "astra_global"),
    Fault("cameras_missing", "no pictures", "sensors", _all("missing"), Expect.DRIVES, LOOKS_ON, "astra_global"),
)
_OTHER_SENSORS = (
    Fault("perception_missing", "no pictures and no scan", "sensors", _all("missing", PERCEPTION), Expect.STANDS,
          "the gate stops the robot; the mission waits, and goes on", "astra_controller", zero_s=0.5, stop_s=1.3, hold_s=4.0),
    Fault("lidar_missing", "no scan", "sensors", ("scan:missing",), Expect.STANDS, "the gate stops the robot; the mission waits, and goes on",
          "astra_controller", zero_s=0.5, stop_s=1.3, hold_s=4.0),
    Fault("lidar_frozen", "the scan repeats itself", "sensors", ("scan:frozen",), Expect.STANDS, "a scan that stays while the robot moves is not believed",
          "astra_controller", zero_s=0.8, stop_s=1.6, hold_s=3.0),
    Fault("lidar_late", "the scan comes 0.5 s late", "sensors", ("scan:late:5",), Expect.EITHER, "slows down or stands; hits nothing", "astra_controller",
          hold_s=4.0),
    Fault("imu_dead", "no IMU", "sensors", ("imu:missing",), Expect.DRIVES, "heading from the wheels alone, with more covariance", "astra_odometry"),
    Fault("imu_nan", "the IMU sends NaN", "sensors", ("imu:poisoned",), Expect.DRIVES, "readings are refused; as without IMU", "astra_odometry"),
    Fault("wheel_missing", "no wheel odometry", "sensors", ("wheel:missing",), Expect.STANDS,
          "the pose ages, the robot stands", "astra_controller", zero_s=1.0, stop_s=1.8, hold_s=4.0),
    Fault("wheel_nan", "the wheels send NaN", "sensors", ("wheel:poisoned",), Expect.STANDS,
          "readings are refused; as without wheels", "astra_controller", zero_s=1.0, stop_s=1.8, hold_s=4.0),
    Fault("wheel_slip", "the wheels count 30 % too much", "sensors", ("wheel:scaled:1.3",), Expect.EITHER,
          "pictures pull the pose back; hits nothing", "astra_global"),
    Fault("wheel_free", "the wheels turn and the robot stands", "sensors", ("wheels:free",), Expect.EITHER,
          "pictures or lack of progress show it; recoveries, then the mission goes on", "astra_navigator", recover_s=30.0),
    Fault("wheel_stuck", "the wheels are blocked", "sensors", ("wheels:blocked",), Expect.STANDS,
          "no progress is noticed; recoveries, then the mission goes on", "astra_navigator", stop_s=1.3, recover_s=20.0, hold_s=6.0),
    Fault("sensors_nan", "scan, IMU and wheels send NaN", "sensors", _all("poisoned", ("scan", "imu", "wheel")), Expect.STANDS,
          "refused at the door; the robot stands", "astra_controller", zero_s=1.0, stop_s=1.8, hold_s=4.0),
)
_TIME = (
    Fault("clock_forward", "all clocks jump 10 s ahead, and stay there for a while", "sensors", _all("shifted:10", (*PERCEPTION, "imu", "wheel", "clock")),
          Expect.EITHER, "what is remembered is dropped; localized anew", "astra_global", recover_s=20.0),
    Fault("clock_back", "all clocks jump 3 s back, and stay there for a while", "sensors", _all("shifted:-3", (*PERCEPTION, "imu", "wheel", "clock")),
          Expect.EITHER, "what is remembered is dropped; localized anew", "astra_global", recover_s=20.0),
    Fault("tf_gap_odom", "no odom → base_link: astra_odometry hangs", "hang", ("astra_odometry",), Expect.STANDS,
          "the gate stops the robot; the mission waits, and goes on", "astra_controller", zero_s=0.5, stop_s=1.3, hold_s=3.0),
    Fault("tf_gap_map", "no map → odom: astra_global hangs", "hang", ("astra_global",), Expect.DRIVES, "drives on by odometry, within bounds",
          "astra_navigator", hold_s=4.0),
)
_PROCESSES = (
    Fault("kill_odometry", "astra_odometry is killed", "kill", ("astra_odometry",), Expect.STANDS, "the gate stops the robot; a new odometry is followed",
          "astra_controller", zero_s=0.5, stop_s=1.3, hold_s=2.0, recover_s=25.0, back_s=NODES_BACK_S),
    Fault("kill_controller", "astra_controller is killed", "kill", ("astra_controller",), Expect.STANDS,
          "the base's own watchdog stops the wheels when commands cease", "robot base", zero_s=0.5, stop_s=1.5, hold_s=2.0, recover_s=20.0,
          back_s=NODES_BACK_S),
    Fault("kill_local", "astra_local is killed", "kill", ("astra_local",), Expect.STANDS, "a stream of paths that ends is stale: the gate stops the robot",
          "astra_controller", zero_s=1.8, stop_s=2.5, hold_s=3.0, recover_s=20.0, back_s=NODES_BACK_S),
    Fault("kill_navigator", "astra_navigator is killed", "kill", ("astra_navigator",), Expect.STANDS,
          "subgoals cease: astra_local lets go of the route; a new goal is taken", "astra_local", zero_s=2.0, stop_s=2.8, hold_s=4.0, recover_s=20.0,
          back_s=NODES_BACK_S),
    Fault("kill_global", "astra_global is killed", "kill", ("astra_global",), Expect.DRIVES, "drives on by odometry, within bounds", "astra_navigator",
          hold_s=3.0, recover_s=20.0, back_s=NODES_BACK_S),
    Fault("kill_recorder", "astra_recorder is killed", "kill", ("astra_recorder",), Expect.DRIVES, "nothing but a hole in the recording", "supervisor",
          hold_s=3.0, back_s=NODES_BACK_S),
    Fault("hang_controller", "astra_controller hangs", "hang", ("astra_controller",), Expect.STANDS, "the base's own watchdog stops the wheels", "robot base",
          zero_s=0.5, stop_s=1.5, hold_s=3.0),
    Fault("hang_local", "astra_local hangs", "hang", ("astra_local",), Expect.STANDS, "a stream of paths that ends is stale: the gate stops the robot",
          "astra_controller", zero_s=1.8, stop_s=2.5, hold_s=4.0),
    Fault("hang_navigator", "astra_navigator hangs", "hang", ("astra_navigator",), Expect.STANDS, "subgoals cease: astra_local stands", "astra_local",
          zero_s=2.0, stop_s=2.8, hold_s=4.0),
    Fault("dds_restart", "every participant of the stack dies at once", "kill", (), Expect.STANDS, "the base stops; all come back and localize",
          "supervisor", zero_s=0.5, stop_s=1.5, hold_s=2.0, recover_s=45.0, back_s=12.0),
)
_MACHINE = (
    Fault("cpu_starved", "all cores are busy with something else", "starve", (), Expect.EITHER, "slower ticks, announced; hits nothing", "all", hold_s=6.0),
    Fault("slow_disk", "the recorder's disk does not answer", "hang", ("astra_recorder",), Expect.DRIVES, "nobody waits for the recorder", "astra_recorder"),
    Fault("full_disk", "no byte can be written anywhere", "full_disk", (), Expect.DRIVES, "logs and recording stop; the mission goes on", "all"),
)
_WORDS = (
    Fault("map_same", "the map is replaced by a copy during a mission", "new_map", ("same",), Expect.EITHER, "localized on the new one; the mission goes on",
          "astra_global", hold_s=1.0, recover_s=20.0),
    Fault("map_damaged", "a damaged map is offered", "new_map", ("damaged",), Expect.DRIVES, "refused; the old one stays", "astra_global", hold_s=2.0),
    Fault("map_foreign", "a map outside of map_roots is offered", "new_map", ("foreign",), Expect.DRIVES, "refused; the old one stays", "astra_global",
          hold_s=2.0),
    Fault("goal_frames", "goals in frames that nobody knows, and of NaN", "bad_goals", ("nowhere", "front_optical", "/"), Expect.EITHER,
          "each is refused with a code; the mission goes on", "astra_navigator", hold_s=1.0),
    Fault("nan_messages", "a stranger sends NaN on every topic that is heard", "nan_messages", HEARD, Expect.EITHER,
          "refused at the door; never a command that is not finite", "all", hold_s=5.0, recover_s=15.0),
    Fault("goal_flood", "1,000 goals in a minute", "flood", ("1000", "25"), Expect.EITHER, "each is answered, the last one counts", "astra_navigator",
          hold_s=0.0, recover_s=20.0),
    Fault("cancel_storm", "200 goals, each cancelled at once", "flood", ("200", "25", "cancel"), Expect.EITHER, "each is answered", "astra_navigator",
          hold_s=0.0, recover_s=20.0),
)
_MODELS = tuple(
    Fault(f"mllm_{mode}", f"the language model's server {words}", "mllm", (mode,), Expect.EITHER,
          "an error within the deadline, never a pose or a goal; localization goes on by geometry", "astra_global", hold_s=0.0)
    for mode, words in (("down", "is down"), ("slow", "answers too late"), ("garbage", "talks nonsense"))
)
FAULTS: tuple[Fault, ...] = (*_CAMERAS, *_OTHER_SENSORS, *_TIME, *_PROCESSES, *_MACHINE, *_WORDS, *_MODELS)
