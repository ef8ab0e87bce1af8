"""What a seed would come to, from a walk over everything and a look into a part of it."""
