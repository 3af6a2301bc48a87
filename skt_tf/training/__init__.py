"""One net trained through its stages, resumable; knows no experiment and no flag."""
