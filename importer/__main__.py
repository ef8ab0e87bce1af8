"""`python -m importer` does the same as the command `importer`."""

from importer.cli import main

if __name__ == "__main__":
    main()
