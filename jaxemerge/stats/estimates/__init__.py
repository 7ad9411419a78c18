"""Values with their intervals, and the resampling, permutation and likelihood methods behind them."""
