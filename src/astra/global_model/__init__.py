"""Astra-Global (paper 3.1.2): where am I, where am I going."""
