"""`python -m athlos`, the same as `athlos`."""

from athlos.cli import main

main()
