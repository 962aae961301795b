"""The gateway: a small program in the cluster that runners dial, and that the launcher dials, too.

It understands nothing of what it carries: what a runner says is encrypted from the runner to the launcher.
"""
