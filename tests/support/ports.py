"""Free ports for what a test starts, from a place that depends on the process.

So neither an outgoing connection nor another worker takes a port between the moment it was found free and the moment
somebody listens there.
"""

import os

from proa.local.layout import free_ports

_ahead = free_ports(os.getpid() * 251)


def free_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    return next(_ahead).port
