"""All that is remembered: the only SQL, and the files of blobs beside it."""
