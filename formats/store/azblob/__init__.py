"""Azure Blob Storage as a store.

Only this package imports the SDK, and only code that opens such a store imports it.
"""
