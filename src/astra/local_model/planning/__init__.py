"""The planner (paper 3.2.2): flow matching over maps, the masked ESDF loss, and the peers of Figure 9.

`network`, `flow`, `trajectory` and `esdf` need torch; the rest does not.
"""
