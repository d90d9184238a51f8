"""Faults: everything that can be done to a world, a kind each, and the hand that does it in time.

A kind is a coroutine that breaks something, sleeps, and lets it go again, so that the end of a fault is where its
`with` ends, also when the run is cut short. What it breaks it *holds*: two faults that hold the same node down overlap
as they please, and the node comes back with the last of them. The kinds are in a module for each thing that is broken,
what they all hold things with in `hands`, and `catalogue` is the table; which of them a run meets is drawn by
`proa.simulation.profiles`.

Bounds that guarantees rest on are kept here: clocks stay within the declared bound of each other and within the drift
that leases allow for, the witness keeps its disk, and no fault lasts longer than its `Scene` says.
"""
