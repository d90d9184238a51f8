"""The whole system on one machine: node processes, their supervisor, and the lock of a state directory."""
