"""A search with keras-tuner."""
