"""The launcher as Python sees it; starts a local one when there is none."""
