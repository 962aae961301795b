"""Offload: send any script to a cluster, and get everything back."""
