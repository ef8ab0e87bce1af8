"""A run over earlier points: the ground that it builds upon, and the commit of a new one."""
