"""A member that lost its disk counts as heard in its new life, which has nothing of what it had confirmed."""

from proa.core import gate
from proa.core.replicate.stamp import region_of


def plant(replace):
    members = gate.members

    def in_the_present_life(s, plan):
        regions = [region_of(member) for member in members(s, plan)]
        return tuple(s.nodes[region].node.origin for region in regions if region in s.nodes)

    replace(gate, "members", in_the_present_life)
