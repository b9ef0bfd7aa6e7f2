"""What probes record: the events that `bench probe` adds to a run.

Each is an event of kind "probe" on the run that it measured, its `data` one of the following. A number that does not
exist or is not finite is null. T is always the number of steps of a sequence (`TaskSpec.seq_len`), t = 0 … T − 1 counts
them, u is the state.

**gradient-flow**: how much the loss changes with an input t steps back, and with the initial state.

    {"probe": "gradient-flow", "task": "copy-100", "trained_at": 120, "samples": 4, "lengths": [128, 256],
     "states": ["initialisation", "trained"],    the first alone where the run did not finish
     "measured": [                        one for each `when` and length
       {"when": "initialisation",         or "trained"
        "length": 128,
        "steps_back": [0, 1, 2, 4, …],    T − 1 − t, ascending: every step of short sequences, else at most 128
        "input": [1e-2, 7e-3, …],         ‖∂loss/∂x_t‖ at those steps, the mean over samples
        "initial_state": 3e-4,            ‖∂loss/∂u_0‖, the mean over samples; null where there is no state
        "state_gain": {"low": 0.7, "mean": 0.9, "high": 1.2},    of ‖(∂u_T/∂u_0)ᵀ v‖ / ‖v‖ over random v; or null
        "bounds": {"sigma": 0.4, "lower": 0.45, "upper": 1.5, "note": "…"}}],    on the gain; null without a theorem
     "trained_again": false}

The loss is the task's, over the positions that its metric scores; for tokens x_t is the embedded token. At
"initialisation" the network is built for sequences of that length, so that "its" T is theirs; "trained" is the run's
own network, built for `trained_at` steps and given longer or shorter sequences. `lower` is null where there is none,
which `note` explains.

**dependency-length**: the longest variant of a task family that the architecture still solves in the same training.

    {"probe": "dependency-length", "family": "copy", "threshold": 0.9, "seeds": [0], "training": "3000 steps",
     "rungs": [                           the family's variants, shortest first, up to the first that is not solved
       {"task": "copy-100", "length": 120, "utility": 0.97, "solved": true, "run_ids": ["…"]}],
     "longest_solved": 120,               null where not even the shortest is
     "first_unsolved": 220}               null where all are

`utility` is the mean over seeds of the way from the trivial predictor (0) to a solved task (1).

**length-extrapolation**: trained at T, given fresh sequences of T, 2T and 4T.

    {"probe": "length-extrapolation", "task": "copy-100", "trained_at": 120, "samples": 500, "metric": "accuracy",
     "lengths": [{"length": 120, "factor": 1, "value": 0.99, "utility": 0.98}, …],
     "trained_again": false}

**training-length**: how many times the suite's training it needs until it solves the task.

    {"probe": "training-length", "task": "adding-200", "threshold": 0.9, "seeds": [0, 1, 2, 3, 4],
     "rungs": [                           up to the first that is solved, or eight times the training
       {"factor": 1, "training": "3000 steps", "seconds": 15.2, "utility": 0.01, "solved": false, "run_ids": ["…"]}],
     "solved_at": 2}                      null where none is solved

`seconds` is the mean over seeds of a training's duration, on whichever machines made the runs.

`trained_again` says that the run was recorded on another machine, so that the network is one of the same settings and
seed, trained where it was probed.

No probe reads a test split: the samples are drawn afresh with a seed of the task's own, or are the first of the
validation split where a task can't be drawn. Dependency length and training length use the recorded results of runs.
Where a run has several events of one probe and the same question (lengths, samples, seeds, …), the last one counts.
"""

GRADIENT_FLOW = "gradient-flow"
DEPENDENCY_LENGTH = "dependency-length"
LENGTH_EXTRAPOLATION = "length-extrapolation"
TRAINING_LENGTH = "training-length"
UNLESS_ASKED = (GRADIENT_FLOW, DEPENDENCY_LENGTH, LENGTH_EXTRAPOLATION)
PROBES = (*UNLESS_ASKED, TRAINING_LENGTH)
"""Training length has to be asked for: it may take fifteen trainings of every seed."""
