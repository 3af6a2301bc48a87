"""results.json and all that is made of a finished run; trains nothing."""
