"""``python -m e2eproxy`` is the command ``e2eproxy``."""

from e2eproxy.cli import main

main()
