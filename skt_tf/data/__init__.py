"""Images and labels, from their sources to batches."""
