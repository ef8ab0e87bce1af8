"""The estimate of a seed's size, from a walk over everything and a look into a part of it."""
