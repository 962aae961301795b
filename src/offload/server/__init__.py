"""HTTP around the launcher; ``app.py`` is the composition root."""
