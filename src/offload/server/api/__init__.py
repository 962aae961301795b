"""The public API, ``/v1``: what the command line, the SDKs and the web page call."""
