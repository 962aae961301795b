"""The runner protocol, ``/runner/v1``: what runners call, with the bearer token of their pool."""
