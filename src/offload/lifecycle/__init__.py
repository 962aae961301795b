"""Pure decisions: what happened and when, in; what to write and to order, out."""
