"""The process beside the tasks: fetches files, leases tasks, executes, streams, returns results."""
