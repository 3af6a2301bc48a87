"""Losses of sequences: each module is one objective, by whose name it is asked for."""
