"""Names of oracles and pruners, known before TensorFlow and Optuna are loaded."""

from __future__ import annotations

SAMPLERS = ("tpe", "cmaes", "qmc", "random", "nsga2")
"""Of Optuna, for `OptunaOracle`."""
ORACLES = (*SAMPLERS, "bayesian", "hyperband", "grid")
"""The last three are KerasTuner's."""
PRUNERS = ("halving", "hyperband", "median", "wilcoxon", "none")
"""Of Optuna, for `OptunaOracle`."""
