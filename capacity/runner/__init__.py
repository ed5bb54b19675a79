"""How it runs: workers, engines, the sweep with its claims, display and bracket."""
