"""Recovery points, read from wherever they lie: catalogs, keys, completeness, differences."""
