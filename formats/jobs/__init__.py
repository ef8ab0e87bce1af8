"""What commands did, as both sides keep and tell it: logs in a home, lists of them, and who is told how they end."""
