"""The process beside the tasks: fetches files, leases tasks, executes, streams, returns results.

It starts beside every task, so it is the standard library and msgspec, and threads instead of an event loop:

* the **main** thread starts and watches the script; a **guard** outside ends it should the runner be killed,
* the **desk** thread makes every lease call: it brings attempts and orders, and takes completions,
* per attempt, a **pump** thread turns pipes into frames in a spool, and a **sender** thread empties it.
"""
