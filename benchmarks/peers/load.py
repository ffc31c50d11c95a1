"""How much other work the processors do while something is measured."""
import math
import os
import time

# Of a processor; more makes a measurement worthless, as threads that wait for
# one another lose far more than the share that is taken.
TOLERATED = 0.15


def busy_s():
    """Seconds of all processors since the start of the machine, time taken
    by other virtual machines included; NaN where the system does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return math.nan
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def own_s():
    """Processor seconds of this process and its children that ended."""
    return sum(os.times()[:4])


class Watch:
    """Begins with its making; others() tells how many processors, in the
    mean, worked for other programs since."""

    def __init__(self):
        self.wall, self.busy, self.own = time.monotonic(), busy_s(), own_s()

    def others(self):
        used = busy_s() - self.busy - (own_s() - self.own)
        return used / max(time.monotonic() - self.wall, 1e-3)


def is_disturbed(others):
    """Unknown (NaN or None) is taken for quiet."""
    return others is not None and others > TOLERATED
