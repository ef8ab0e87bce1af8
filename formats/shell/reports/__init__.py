"""Reports for people: one self-contained page each, for either side."""
