"""`python -m towpath.cli`: the command line, as the embedded stack starts its façade."""

from towpath.cli import main

if __name__ == "__main__":
    main()
