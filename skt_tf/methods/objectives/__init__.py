"""What losses of a sequence compare: each module is one objective, asked for by its name."""
