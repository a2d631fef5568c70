"""`astra doctor`: is this machine, this robot and its calibration fit, and what is to be done where it is not?"""
