"""What is trained, how it is trained, and where the results are stored.

    experiment = Experiment(task, model, steps=600, seeds=paired(range(16)))
    population = train(experiment)     # in memory; every seed is scored along the way
    population.frame()                 # needs Polars: one row per seed, step, split and metric

All modules are imported by name, so that the state of a results folder can be read without JAX, and training
works without Polars: ``experiment`` has `Experiment`, ``train`` has `train`, ``outcome`` has `Population`,
``sweep`` makes lists of cells, ``jobs`` and ``study`` train them into a results folder and resume after an
interruption, ``store`` reads and writes that folder, ``records`` says how far it is, ``tables`` makes rows.
"""
