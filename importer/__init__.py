"""The datacenter side: checks everything and can read nothing. It never reaches `formats.keyed` or pyarrow."""
