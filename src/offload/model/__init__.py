"""Values: what a job, a task, a runner and an observation are. Frozen, and without I/O."""
