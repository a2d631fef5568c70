"""People, carts and pallet jacks that move through a world by a timetable."""

from astra.sim.movers.bodies import movers_xml
from astra.sim.movers.mover import MOVERS_FILE, Looks, Mover, load_movers, save_movers
from astra.sim.movers.schedule import plan_movers
from astra.sim.movers.stage import MoverSet

__all__ = ["MOVERS_FILE", "Looks", "Mover", "MoverSet", "load_movers", "movers_xml", "plan_movers", "save_movers"]
