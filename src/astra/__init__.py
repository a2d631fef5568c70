"""Astra Nav: hierarchical multimodal navigation for indoor mobile robots (arXiv 2506.06205)."""

__version__ = "0.1.0"
