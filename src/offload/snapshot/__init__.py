"""A working directory to blobs and back: walk, ignore rules, manifest, check-out, play back."""
