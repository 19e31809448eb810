"""`python -m bigbird_cli` is the `bigbird` command."""

from bigbird_cli.main import main

main()
