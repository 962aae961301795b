"""The process beside the tasks: fetches files, leases tasks, executes, streams, returns results.

It starts beside every task, so it is the standard library and msgspec, and threads instead of an event loop:

* the **main** thread forks and watches the script (a parent-death signal hangs on that thread),
* the **desk** thread makes every lease call: it brings attempts and orders, and takes completions,
* per attempt, a **pump** thread turns pipes into frames in a spool, and a **sender** thread empties it.
"""
