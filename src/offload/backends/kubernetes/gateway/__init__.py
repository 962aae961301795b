"""The gateway of a launcher: how runners reach one that no pod can reach.

A small pod and a Service in the namespace, which runners dial. The launcher dials it too, out through the API
server, and serves what comes through that tunnel as if runners had come to it. All that is needed at home is
what ``kubectl`` needs.

``objects`` says what is made, ``upkeep`` keeps it there, ``link`` holds the tunnel, and ``gateway`` decides
when there has to be one.
"""
