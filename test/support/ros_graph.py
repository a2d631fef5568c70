"""The interfaces of running nodes, and those that docs/INTERFACES.md promises, as comparable sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

EVERY_NODE_HAS = ("parameter", "rosout", "transition_event", "get_state", "change_state", "get_available", "get_transition_graph", "type_description")
Interface = tuple[str, str, str]  # role, name, type


def running(node: Any, name: str) -> set[Interface]:
    """What the node called `name` offers and needs, as seen by another node."""
    found: set[Interface] = set()
    queries = {
        "publishes": node.get_publisher_names_and_types_by_node, "subscribes": node.get_subscriber_names_and_types_by_node,
        "serves": node.get_service_names_and_types_by_node, "calls": node.get_client_names_and_types_by_node,
    }  # fmt: skip
    for role, query in queries.items():
        for topic, kinds in query(name, "/"):
            base, action, part = topic.partition("/_action/")
            if any(word in topic for word in EVERY_NODE_HAS) or (action and (part != "send_goal" or role not in ("serves", "calls"))):
                continue
            found.add((f"{role} action", base, kinds[0].removesuffix("_SendGoal")) if action else (role, topic, kinds[0]))
    return found


def documented(path: Path) -> dict[str, set[Interface]]:
    """The tables of docs/INTERFACES.md by node."""
    tables: dict[str, set[Interface]] = {}
    node = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            node = line[3:]
        row = re.match(r"\| (\w+(?: action)?) \| `([^`]+)` \| `([^`]+)` \|", line)
        if row:
            tables.setdefault(node, set()).add((row[1], row[2], row[3]))
    return tables
