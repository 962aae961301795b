from __future__ import annotations

import subprocess
import sys

# Prints how many it sees below itself: nobody, a child, a grandchild as well that left its parent's session
# and lost its parent, nobody. In a process of its own, because that becomes a subreaper.
LOOKS = """
import subprocess, sys, time
from offload.runner import tree
{freeze}
tree.become_subreaper()
kin = tree.Kin({root})
def told(pids):
    print(len(pids), flush=True)
told(kin.look())
child = subprocess.Popen(["sleep", "1000"])
told(kin.look())
orphan = subprocess.run(["sh", "-c", "setsid sleep 1000 >&- & echo $!"], stdout=subprocess.PIPE).stdout
found = kin.look()
told(found)
assert found == [child.pid, int(orphan)], (found, child.pid, orphan)
tree.sweep(tree.Reaped(), linger=0, grace=0)
told(kin.look())
"""


def looks(root: str = "__import__('os').getpid()", freeze: str = "") -> list[int]:
    code = LOOKS.format(root=root, freeze=freeze)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def test_every_descendant_is_seen_also_one_that_left():
    assert looks() == [0, 1, 2, 0]


def test_descendants_are_seen_while_strangers_are_remembered_and_when_they_are_forgotten():
    assert looks(freeze="tree._REMEMBERED = 1000.0") == [0, 1, 2, 0]
    assert looks(freeze="tree._REMEMBERED = 0.0") == [0, 1, 2, 0]


def test_only_strangers_are_not_looked_at_again():
    code = """
import os, subprocess
from offload.runner import tree
asked = []
parent = tree._parent
tree._parent = lambda pid: asked.append(pid) or parent(pid)
tree._REMEMBERED = 1000.0
child = subprocess.Popen(["sleep", "1000"])
kin = tree.Kin(os.getpid())
kin.look()
assert 1 in asked and child.pid in asked
asked.clear()
assert kin.look() == [child.pid]
assert child.pid in asked and 1 not in asked and os.getpid() not in asked
child.kill()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
