"""The verified view of a vault: the facts that its reader may take from the documents in it."""
