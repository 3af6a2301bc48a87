"""What each part of a stage costs."""
