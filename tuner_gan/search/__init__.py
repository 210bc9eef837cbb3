"""The search: hypermodel, tuner and the callback that scores a trial while it trains."""
