"""A student as files that other programs run."""
