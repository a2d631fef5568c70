"""Breaks the running stack on purpose and watches what it does."""
