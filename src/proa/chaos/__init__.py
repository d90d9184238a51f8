"""Break things on purpose and count what it cost: workloads, load, faults, drills, and their account."""
