"""What travels between the person's side, the launcher and its runners: messages, frames, packs, HTTP."""
