"""Free ports for what a test starts.

They are below the range that the system hands out to outgoing connections, one after another from a place that depends
on the process. So neither a connection nor another worker takes a port between the moment it was found free and the
moment somebody listens there.
"""

import os
from itertools import cycle

from proa.local.layout import PORTS, unusable
from proa.runtime.config import Address

_begin = os.getpid() * 251 % len(PORTS)
_ahead = cycle([*PORTS[_begin:], *PORTS[:_begin]])


def free_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    return next(port for port in _ahead if not unusable(Address("127.0.0.1", port)))
