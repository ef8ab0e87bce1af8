"""Everything that needs the key: the datacenter's programs never import from here."""
