"""Write config/sros2/astra.policy.xml from the tables of docs/INTERFACES.md: each node may do what it says there, and nothing else.

    .venv/bin/python tools/sros2_policy.py            # then, on a ROS machine: ros2 security create_enclave, create_permission (docs/SECURITY.md)
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "config" / "sros2" / "astra.policy.xml"
ROW = re.compile(r"\| (publishes|subscribes|serves action|calls action|serves|calls) \| `/([^`]+)` \|")
# Role in the table → element, its plural, attribute.
ROLES = {
    "publishes": ("topic", "publish"), "subscribes": ("topic", "subscribe"), "serves": ("service", "reply"), "calls": ("service", "request"),
    "serves action": ("action", "execute"), "calls action": ("action", "call"),
}  # fmt: skip
PARAMETERS = ("describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters", "set_parameters_atomically")
LIFECYCLE = ("change_state", "get_state", "get_available_states", "get_available_transitions", "get_transition_graph")


def tables(text: str) -> dict[str, dict[tuple[str, str], set[str]]]:
    """The rows of the document: node → (element, permission) → names."""
    found: dict[str, dict[tuple[str, str], set[str]]] = {}
    node = ""
    for line in text.splitlines():
        if line.startswith("## "):
            node = line[3:].split()[0]
        elif row := ROW.match(line):
            found.setdefault(node, defaultdict(set))[ROLES[row[1]]].add(row[2])
    return found


def policy(text: str) -> str:
    """The policy as XML."""
    root = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(root, "enclaves")
    for node, rights in sorted(tables(text).items()):
        enclave = ElementTree.SubElement(enclaves, "enclave", path=f"/astra/{node}")
        profile = ElementTree.SubElement(ElementTree.SubElement(enclave, "profiles"), "profile", ns="/", node=node)
        rights[("topic", "publish")] |= {"rosout", "parameter_events", "diagnostics", f"{node}/transition_event"}
        rights[("topic", "subscribe")] |= {"clock", "parameter_events"}
        rights[("service", "reply")] |= {f"{node}/{name}" for name in (*PARAMETERS, *LIFECYCLE)}
        for (element, permission), names in sorted(rights.items()):
            group = ElementTree.SubElement(profile, f"{element}s", {permission: "ALLOW"})
            for name in sorted(names):
                ElementTree.SubElement(group, element).text = name
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def main() -> int:
    """Write the file, or with --check say whether it is up to date."""
    text = policy((ROOT / "docs" / "INTERFACES.md").read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        return int(not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
