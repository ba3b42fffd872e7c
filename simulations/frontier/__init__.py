"""The trade-off between epsilon and quality: one study trained at several epsilons."""
