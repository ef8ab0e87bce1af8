"""Reports that people look at: one page each, whole in itself, for either side."""
