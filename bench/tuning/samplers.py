"""The samplers that choose a trial's settings, by name."""

from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from bench.common.errors import unknown

STARTUP = 6  # trials before a sampler trusts what it has seen


def build_sampler(name: str, seed: int) -> BaseSampler:
    """Build one of Optuna's samplers.

    Raises:
        RequestError: there is no sampler of this name.
    """
    match name:
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP)
        case "random":
            return RandomSampler(seed=seed)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=2 * STARTUP)
        case _:
            raise unknown("sampler", name, ("tpe", "gp", "random", "nsga2"))
