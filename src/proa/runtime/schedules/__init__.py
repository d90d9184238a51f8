"""What a region does with schedules: knows which it runs, looks at the time, runs ticks, deals with their failures."""
