"""``python tests/kubernetes/cluster up``: a real Kubernetes on this machine. See ``command.py``."""

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
sys.exit(importlib.import_module("cluster.command").main(sys.argv[1:]))
