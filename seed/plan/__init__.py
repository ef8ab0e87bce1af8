"""Planning: whether disks should travel, by a sample of the source."""
