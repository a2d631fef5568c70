"""Judging from outside: everything here may read the simulator's truth, and nothing here is imported by the stack."""
