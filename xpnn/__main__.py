"""`python -m xpnn` is the command line."""

from xpnn.cli import main

raise SystemExit(main())
