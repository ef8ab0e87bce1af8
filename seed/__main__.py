"""The entry of `python -m seed`, which does the same as the command `seed`."""

from seed.cli import main

if __name__ == "__main__":
    main()
