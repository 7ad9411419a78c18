"""Statistics of populations of runs: arrays in, frozen records out. Needs NumPy, SciPy, JAX and diptest only.

    seeds = fit_mixture([0, 0, 0.02, 0.04, 0.71, 0.78, 0.80, 0.85], trials=100)
    seeds.bimodal, seeds.success.value, seeds.success.interval   # two modes? P(success) without a threshold
    curve = fit_success_curve(scale=[1, 2, 4, 8], successes=[0, 2, 9, 15], trials=[16, 16, 16, 16])
    curve.midpoint.value                                         # the scale at which half succeed

Scores [S] are one number per seed, in [0, 1] unless stated otherwise. Scale is any positive measure of size.
Losses are in nats per token; N is parameters, D tokens, C = 6 N D training FLOPs. NaN marks a diverged seed.
Intervals resample seeds. A fitted quantity is an `Estimate`: a value with its interval.

    estimates      values with intervals, bootstrap over seeds, permutation tests
    populations    summaries, mixtures, tests of modality, correlations, variance components, distances
    success        P(success) and mean of successes against scale, onsets, trends, emergence scores
    times          time of breakthrough: survival curves, log-rank test, Cox regression
    passes         pass rates from samples, the task scaling law, predictions from the loss
    laws           power laws of the loss, compute-optimal sizes, accuracy from loss; one law of the scores
    design         how many seeds a question needs, and what a number of seeds can miss

All public names are here; `help(fit_mixture)` has the formulas, ranges and references of one of them.
"""

from .design.seed_plan import SeedPlan as SeedPlan
from .design.seed_plan import plan_seeds as plan_seeds
from .design.two_rates import detectable_difference as detectable_difference
from .estimates.aggregates import improvement_probability as improvement_probability
from .estimates.aggregates import interquartile_mean as interquartile_mean
from .estimates.interval import Estimate as Estimate
from .estimates.interval import Interval as Interval
from .estimates.interval import success_interval as success_interval
from .estimates.mean import mean_interval as mean_interval
from .estimates.mean_tests import MeanDifference as MeanDifference
from .estimates.mean_tests import MeanTest as MeanTest
from .estimates.mean_tests import mean_at_most as mean_at_most
from .estimates.mean_tests import mean_difference as mean_difference
from .estimates.multiplicity import holm as holm
from .estimates.resampling import PermutationTest as PermutationTest
from .estimates.resampling import bootstrap as bootstrap
from .estimates.resampling import generator as generator
from .estimates.resampling import percentile_interval as percentile_interval
from .estimates.resampling import resample_indices as resample_indices
from .laws.broken_power_law import BrokenPowerLaw as BrokenPowerLaw
from .laws.broken_power_law import fit_broken_power_law as fit_broken_power_law
from .laws.chinchilla import ParametricLoss as ParametricLoss
from .laws.chinchilla import fit_chinchilla as fit_chinchilla
from .laws.distribution.held_out import HeldOutScores as HeldOutScores
from .laws.distribution.held_out import held_out_scores as held_out_scores
from .laws.distribution.law import DistributionLaw as DistributionLaw
from .laws.distribution.law import fit_distribution_law as fit_distribution_law
from .laws.distribution.nested import NestedTest as NestedTest
from .laws.distribution.nested import StepAlternative as StepAlternative
from .laws.distribution.nested import nested_test as nested_test
from .laws.distribution.nested import step_alternative as step_alternative
from .laws.distribution.nested import two_sided_range as two_sided_range
from .laws.distribution.posterior import SampledLaw as SampledLaw
from .laws.distribution.posterior import sample_distribution_law as sample_distribution_law
from .laws.distribution.prediction import PredictedDistribution as PredictedDistribution
from .laws.envelope import Envelope as Envelope
from .laws.envelope import TrainingCurve as TrainingCurve
from .laws.envelope import fit_envelope as fit_envelope
from .laws.frontier import PUBLISHED as PUBLISHED
from .laws.frontier import Allocation as Allocation
from .laws.frontier import ComputeOptimal as ComputeOptimal
from .laws.frontier import ExponentRow as ExponentRow
from .laws.frontier import PublishedExponents as PublishedExponents
from .laws.frontier import compare_exponents as compare_exponents
from .laws.isoflop import IsoFlop as IsoFlop
from .laws.isoflop import fit_isoflop as fit_isoflop
from .laws.kaplan import KaplanLoss as KaplanLoss
from .laws.kaplan import fit_kaplan as fit_kaplan
from .laws.ladder import AccuracyLink as AccuracyLink
from .laws.ladder import Ladder as Ladder
from .laws.ladder import fit_ladder as fit_ladder
from .laws.ladder import fit_sigmoid as fit_sigmoid
from .laws.law_test import LikelihoodRatioTest as LikelihoodRatioTest
from .laws.law_test import RollingOrigin as RollingOrigin
from .laws.law_test import likelihood_ratio_test as likelihood_ratio_test
from .laws.law_test import rolling_origin as rolling_origin
from .laws.power_law import LossQuantiles as LossQuantiles
from .laws.power_law import PowerLaw as PowerLaw
from .laws.power_law import fit_loss_quantiles as fit_loss_quantiles
from .laws.power_law import fit_power_law as fit_power_law
from .passes.answer_loss import LossPrediction as LossPrediction
from .passes.answer_loss import predict_from_loss as predict_from_loss
from .passes.growth import Growth as Growth
from .passes.growth import GrowthModels as GrowthModels
from .passes.growth import fit_growth_models as fit_growth_models
from .passes.pass_at_k import PassAtK as PassAtK
from .passes.pass_at_k import best_of as best_of
from .passes.pass_at_k import pass_at_k as pass_at_k
from .passes.pass_rate import PassRate as PassRate
from .passes.pass_rate import pass_rate as pass_rate
from .passes.task_scaling import TaskScaling as TaskScaling
from .passes.task_scaling import fit_task_scaling as fit_task_scaling
from .populations.correlation import Correlation as Correlation
from .populations.correlation import correlation as correlation
from .populations.distance import wasserstein as wasserstein
from .populations.distance import wasserstein_matrix as wasserstein_matrix
from .populations.distance import wasserstein_test as wasserstein_test
from .populations.mixture_model import Mixture as Mixture
from .populations.mixture_model import fit_mixture as fit_mixture
from .populations.modality import DipTest as DipTest
from .populations.modality import ashman_d as ashman_d
from .populations.modality import bimodality_coefficient as bimodality_coefficient
from .populations.modality import dip_test as dip_test
from .populations.summaries import Summaries as Summaries
from .populations.summaries import ThresholdScan as ThresholdScan
from .populations.summaries import half_sample_mode as half_sample_mode
from .populations.summaries import summaries as summaries
from .populations.summaries import threshold_scan as threshold_scan
from .populations.unimodality import UnimodalityTest as UnimodalityTest
from .populations.unimodality import unimodality_test as unimodality_test
from .populations.variance import VarianceSplit as VarianceSplit
from .populations.variance import split_variance as split_variance
from .success.emergence import breakthroughness as breakthroughness
from .success.emergence import emergence_score as emergence_score
from .success.emergence import linearity as linearity
from .success.logistic_regression import LogisticRegression as LogisticRegression
from .success.logistic_regression import fit_logistic as fit_logistic
from .success.monotone import IsotonicSuccess as IsotonicSuccess
from .success.monotone import StepTest as StepTest
from .success.monotone import isotonic_success as isotonic_success
from .success.monotone import step_test as step_test
from .success.onset import Onset as Onset
from .success.onset import onset as onset
from .success.onset import two_sided_onset as two_sided_onset
from .success.onset import two_sidedness as two_sidedness
from .success.success_curve import SuccessCurve as SuccessCurve
from .success.success_curve import fit_success_curve as fit_success_curve
from .success.success_mean import ScoreDistribution as ScoreDistribution
from .success.success_mean import SuccessMean as SuccessMean
from .success.success_mean import fit_score_distribution as fit_score_distribution
from .success.success_mean import fit_success_mean as fit_success_mean
from .success.trend import TrendTest as TrendTest
from .success.trend import trend_test as trend_test
from .times.hazard import HazardRegression as HazardRegression
from .times.hazard import fit_hazard as fit_hazard
from .times.survival import BreakthroughTimes as BreakthroughTimes
from .times.survival import LogRankTest as LogRankTest
from .times.survival import SurvivalCurve as SurvivalCurve
from .times.survival import breakthrough_time as breakthrough_time
from .times.survival import kaplan_meier as kaplan_meier
from .times.survival import log_rank_test as log_rank_test
