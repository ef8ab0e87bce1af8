"""`python -m tests.vectors` writes every golden vector anew."""

from tests.vectors.generate import main

main()
