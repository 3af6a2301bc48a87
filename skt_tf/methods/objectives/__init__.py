"""What a loss of a sequence compares: each module is one objective, by whose name it is asked for."""
