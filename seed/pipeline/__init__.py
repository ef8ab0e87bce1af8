"""The way of the bytes: chunking, change detection, sealing, packing, rows of the catalog."""
