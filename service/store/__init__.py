"""What is kept: the ports of identities, edits and migrations, and Redis behind them."""
