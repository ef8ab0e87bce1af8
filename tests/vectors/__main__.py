"""The command `python -m tests.vectors`: it writes every golden vector anew."""

from tests.vectors.generate import main

main()
