"""Astra-Local's learned heads (paper 3.2). They arrive with later work; what they must satisfy is in `navigation/protocols.py`."""
