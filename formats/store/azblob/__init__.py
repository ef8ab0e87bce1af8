"""Azure Blob Storage as a store. Nothing outside of this package imports the SDK, and only who opens such a store this."""
