"""Keras networks and the names of their points; knows nothing of teacher and student."""
