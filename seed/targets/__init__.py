"""The places where archives go: disks, the vault, the cache of the home."""
