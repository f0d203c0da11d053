"""`python -m towpath`: the command line, as the embedded stack starts its façade too."""

from towpath.cli import main

if __name__ == "__main__":
    main()
