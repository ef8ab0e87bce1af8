"""Everything that needs the key. The datacenter's programs never import from here."""
