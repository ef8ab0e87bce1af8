"""Jobs as both sides keep and report them: logs in a home, lists of them, and notifications of their ends."""
