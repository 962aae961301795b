"""The service that owns jobs: reconciler, lease desk, log keeper, janitor."""
