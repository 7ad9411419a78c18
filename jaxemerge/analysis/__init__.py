"""From results to summaries: what do populations look like, and how do they move with scale?

    results = je.train(experiment).frame()     # or read_results("runs.csv", ...)
    summarise(results, threshold=0.9)          # P(success), means and modes per cell and test, with intervals

Frames in, frames (or records of frames) out. A frame of results has one row per seed, step, split and metric
(`jaxemerge.schema.SCHEMA`). Scores are shares in [0, 1], losses are in nats per token, and scale is the
column that `scale_column` finds. Intervals are 95 % over seeds, from the statistics in `jaxemerge.stats`.

    read            results of other programs, under their own column names
    columns         what each column of a foreign table means
    entries         numbers, counts, seeds and names, or an error with the row
    sources         files of other programs as rows
    harness         files of lm-evaluation-harness
    trackers        tables of W&B, TensorBoard and Hugging Face
    identity        which rows are one model, one run, one test
    results         columns, cells and their labels, tests
    kinds           shares, losses and others; the main metric; what a failed run scores
    ends            final rows and scores, runs that end early
    comparisons     values without bounds: differences of cells, trends, targets
    distribution    summaries, histograms, densities and final values of every cell and test
    mixtures        components and atoms behind the scores, and the losses of the same seeds
    single_seeds    correlations over seeds, variance by source, curves of single seeds
    scale           P(success) and mean of successes against scale, distances between cells
    aggregates      the best of a few runs, and cells compared over all tests
    events          times of events that are a column of a table
    training        learning curves, time of breakthrough, survival curves
    metrics         means under every metric, rescoring, per-token model, resolution of a test
    emergence       emergence by definition, emergence scores, metrics made sharper
    passes          task scaling law of pass rates
    distribution_law  one law of the scores of all cells, seeds and tests
    groups          which runs differ only in scale, and may share a law
    laws            scaling laws of the loss
    trends          the law of a loss where one measure of scale varies
    design          power against the number of seeds, what a number of seeds can miss
    findings        sentences that state the numbers found
"""

from .design import power_table as power_table
from .design import unseen_sentence as unseen_sentence
from .distribution import Values as Values
from .distribution import density as density
from .distribution import final_values as final_values
from .distribution import histogram as histogram
from .distribution import primary_test as primary_test
from .distribution import summarise as summarise
from .distribution import two_sided as two_sided
from .distribution_law import LawFit as LawFit
from .distribution_law import distribution_law as distribution_law
from .emergence import Emergence as Emergence
from .emergence import emergence as emergence
from .emergence import emergence_scores as emergence_scores
from .emergence import induced as induced
from .ends import final as final
from .ends import final_scores as final_scores
from .ends import unfinished as unfinished
from .kinds import is_share as is_share
from .kinds import main_metric as main_metric
from .kinds import never_right as never_right
from .laws import ScalingLaws as ScalingLaws
from .laws import has_laws as has_laws
from .laws import law_groups as law_groups
from .laws import law_runs as law_runs
from .laws import loss_metric as loss_metric
from .laws import scaling_laws as scaling_laws
from .metrics import metric_means as metric_means
from .metrics import per_token as per_token
from .metrics import rescore as rescore
from .metrics import resolution as resolution
from .metrics import smaller_tests as smaller_tests
from .mixtures import LossComparison as LossComparison
from .mixtures import Mixtures as Mixtures
from .mixtures import compare_with_loss as compare_with_loss
from .mixtures import mixtures as mixtures
from .passes import PassScaling as PassScaling
from .passes import has_task_scaling as has_task_scaling
from .passes import task_scaling as task_scaling
from .read import read_results as read_results
from .results import cell_labels as cell_labels
from .results import forms_a_curve as forms_a_curve
from .results import printable_names as printable_names
from .results import scale_column as scale_column
from .results import scale_title as scale_title
from .scale import SuccessFit as SuccessFit
from .scale import distances as distances
from .scale import success_by_threshold as success_by_threshold
from .scale import success_fit as success_fit
from .scale import two_sided_scale as two_sided_scale
from .single_seeds import correlations as correlations
from .single_seeds import rank_curves as rank_curves
from .single_seeds import variance_shares as variance_shares
from .training import Survival as Survival
from .training import breakthroughs as breakthroughs
from .training import curve_quantiles as curve_quantiles
from .training import learning_curves as learning_curves
from .training import representative_curves as representative_curves
from .training import survival as survival
from .trends import Trend as Trend
from .trends import laws_of_scale as laws_of_scale
from .trends import one_scale as one_scale
